"""Run many trials of tasks, methods and seeds, and choose by validation.

Examples:
  tf-adapters sweep --preset=quick --output_dir=sweeps/quick
  tf-adapters sweep --preset=paper_glue --tasks=mrpc,rte \\
      --data_dir=glue_data --output_dir=sweeps/glue
  tf-adapters sweep --spec=my_sweep.yaml --max_parallel_trials=2 \\
      --output_dir=sweeps/mine

A trial is a run of tf-adapters glue, or squad, as a process of its own in
output_dir/trials/. Flags of these tools that are given here hold for every
trial, whatever the spec says. The same command goes on with a sweep that was
stopped, and tries trials that failed again.

output_dir gets results.csv, a line for each trial; selected.json and
selected.csv, the best setting of each method on each task, with its scores over
seeds; and sweep.json, what was asked for and where each trial stands.
"""

import pathlib
import sys

from absl import flags

from tf_adapters.errors import InputError
from tf_adapters.experiments import selection
from tf_adapters.experiments.records import FAILED
from tf_adapters.experiments.spec import PRESETS
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.sweep import run_sweep
from tf_adapters.experiments.trials import expand
from tf_adapters.tools import (
    _command,
    _flag_reader,
    _output_dir_flag,
    glue,
    squad,
)

_RUNS = {"glue": glue, "squad": squad}

flags.DEFINE_string(
    "spec", None, "YAML file that says what to try; see the README.")
flags.DEFINE_enum(
    "preset", None, sorted(path.stem for path in PRESETS.glob("*.yaml")),
    "A spec that comes with the package, instead of --spec: one of the paper's "
    "sweeps, or a quick one on the demo's data.")
flags.DEFINE_list(
    "tasks", None, "Those of the spec's tasks that are wanted. (all)")
flags.register_validator(
    "tasks", lambda tasks: tasks is None or (tasks and all(tasks)),
    "must name tasks")
flags.DEFINE_integer(
    "max_parallel_trials", 1,
    "Trials at a time; the machine's cores are shared among them.",
    lower_bound=1, upper_bound=1024)
flags.DEFINE_bool(
    "keep_adapters", False,
    "Keep the adapter file of every trial, not only of selected settings.")
flags.adopt_module_key_flags(_output_dir_flag)


def _sweep() -> None:
  _command.require("output_dir")
  values = flags.FLAGS
  if (values.spec is None) == (values.preset is None):
    raise InputError("give either --spec or --preset")
  if not values.output_dir:
    raise InputError("output_dir must not be empty")
  output_dir = pathlib.Path(values.output_dir)
  path = pathlib.Path(values.spec or PRESETS / f"{values.preset}.yaml")
  spec = read_spec(path, values.tasks, _given())
  trials = expand(spec, _flag_reader.FlagReader(_RUNS[spec.tool]), output_dir)
  records = run_sweep(spec, trials, output_dir, values.max_parallel_trials,
                      values.keep_adapters)
  print()
  _command.print_columns(selection.selected_table(selection.select(records)))
  failed = [record for record in records if record.status == FAILED]
  if failed:
    raise InputError(
        f"{len(failed)} of {len(records)} trials failed, "
        f"{failed[0].trial.name} first: {failed[0].error}; the same command "
        "tries them again")


def _given() -> dict[str, str]:
  """Flags of runs that stand on the command line, as text."""
  names = {flag.name for tool in _RUNS.values()
           for flag in flags.FLAGS.get_key_flags_for_module(tool)}
  return {name: _text(flags.FLAGS[name].value) for name in sorted(names)
          if flags.FLAGS[name].present and name != "output_dir"}


def _text(value: object) -> str:
  if isinstance(value, list):
    return ",".join(value)
  return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
  """Entry point of `tf-adapters sweep`."""
  _command.run(sys.modules[__name__], _sweep)
