"""Run many trials of tasks, methods and seeds, and choose by validation.

Examples:
  tf-adapters sweep --preset=quick --output_dir=sweeps/quick
  tf-adapters sweep --spec=mine.yaml --data=mine.csv --label_column=team \\
      --encoder=minilm_l6 --output_dir=sweeps/mine
  tf-adapters sweep --preset=paper_glue --tasks=mrpc,rte \\
      --data_dir=glue_data --output_dir=sweeps/glue
  tf-adapters sweep --spec=my_sweep.yaml --max_parallel_trials=2 \\
      --output_dir=sweeps/mine
  tf-adapters sweep --spec=my_sweep.yaml --runner=ray --ray_address=auto \\
      --output_dir=/shared/sweeps/mine

A trial is a run of tf-adapters train, glue or squad, as a process of its own in
output_dir/trials/. Flags of these tools that are given here hold for every
trial, whatever the spec says. The same command goes on with a sweep that was
stopped, and tries trials that failed again.

output_dir gets results.csv, with a line for each trial. selected.json and
selected.csv have the best setting of each method on each task, with its scores
over seeds. sweep.json has the spec and the state of each trial.
"""

import contextlib
import pathlib
import sys

from absl import flags

from tf_adapters.errors import InputError, first_line
from tf_adapters.experiments import selection
from tf_adapters.experiments.asha import Asha
from tf_adapters.experiments.local_runner import LocalRunner
from tf_adapters.experiments.records import FAILED
from tf_adapters.experiments.runner import Runner
from tf_adapters.experiments.spec import PRESETS, Spec
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.sweep import run_sweep
from tf_adapters.experiments.trials import (
    Trial,
    check_flags_read,
    expand,
)
from tf_adapters.files.writing import check_output_dir
from tf_adapters.tools import (
    _command,
    _flag_reader,
    _flags,
    glue,
    squad,
    train,
)
from tf_adapters.training.run_checks import check_inputs
from tf_adapters.training.run_config import RunConfig, flag_text

_RUNS = {"train": train, "glue": glue, "squad": squad}

flags.DEFINE_string(
    "spec", None, "YAML file that says what to try; see docs/guides/sweeps.md.")
flags.DEFINE_enum(
    "preset", None, sorted(path.stem for path in PRESETS.glob("*.yaml")),
    "A spec that comes with the package, instead of --spec: a sweep of the "
    "paper, five GLUE tasks with a small encoder, or a quick one on the demo's "
    "data.")
for _part in ("tasks", "methods"):
  flags.DEFINE_list(
      _part, None, f"The spec's {_part} to run. (all)")
  flags.register_validator(
      _part, lambda names: names is None or (names and all(names)),
      f"must name {_part}")
flags.DEFINE_enum(
    "runner", "processes", ["processes", "ray"],
    "Where trials run: on this machine, or where Ray has room.")
flags.DEFINE_integer(
    "max_parallel_trials", 1,
    "--runner=processes: trials at a time, which share the machine's cores.",
    lower_bound=1, upper_bound=1024)
flags.DEFINE_string(
    "ray_address", None,
    "Ray: HOST:PORT of the cluster, or auto for the one that this machine is "
    "of. (RAY_ADDRESS; without it this machine's cores)")
flags.DEFINE_integer(
    "cpus_per_trial", 1, "Ray: CPUs that a trial takes, and its threads.",
    lower_bound=1)
flags.DEFINE_integer(
    "gpus_per_trial", 0, "Ray: GPUs that a trial takes.", lower_bound=0)
flags.DEFINE_bool(
    "asha", False,
    "Ray: stop a setting early (ASHA) if others of the same method and task "
    "are better.")
flags.DEFINE_integer(
    "asha_grace_epochs", 1, "Epochs after which ASHA compares first.",
    lower_bound=1)
flags.DEFINE_integer(
    "asha_reduction_factor", 4,
    "ASHA lets one trial in this many go on, to this many times the epochs.",
    lower_bound=2)
flags.DEFINE_bool(
    "keep_adapters", False,
    "Keep the adapter file of every trial, not only of selected settings. "
    "With --methods all are kept anyway.")
_flags.define(RunConfig, "output_dir")


def _sweep() -> None:
  _command.require("output_dir")
  values = flags.FLAGS
  path = spec_path()
  if not values.output_dir:
    raise InputError("output_dir must not be empty")
  _check_runner_flags()
  output_dir = pathlib.Path(values.output_dir)
  spec = read_spec(path, values.tasks, values.methods, _given())
  trials = trials_of(spec, output_dir)
  if values.methods is None:  # else it may be for one of the others
    check_flags_read(spec, trials)
  if values.runner == "processes":  # others may have what is not here
    check_output_dir(output_dir)
    check_inputs(trial.config for trial in trials)
  # What others of the spec's methods have selected is not known here.
  keep_adapters = values.keep_adapters or values.methods is not None
  with _runner(spec.tool, output_dir) as runner:
    records = run_sweep(spec, trials, output_dir, runner, keep_adapters)
  print()
  _command.print_columns(selection.selected_table(selection.select(records)))
  failed = [record for record in records if record.status == FAILED]
  if failed:
    raise InputError(
        f"{len(failed)} of {len(records)} trials failed, "
        f"{failed[0].trial.name} first: {failed[0].error}; the same command "
        "tries them again")


def spec_path() -> pathlib.Path:
  """Returns the file that --spec or --preset names."""
  values = flags.FLAGS
  if (values.spec is None) == (values.preset is None):
    raise InputError("give either --spec or --preset")
  return pathlib.Path(values.spec or PRESETS / f"{values.preset}.yaml")


def trials_of(spec: Spec, output_dir: pathlib.Path) -> list[Trial]:
  """Makes the trials of a spec."""
  return expand(spec, _flag_reader.FlagReader(_RUNS[spec.tool]), output_dir)


def _check_runner_flags() -> None:
  """Raises InputError for flags without effect."""
  values = flags.FLAGS
  names = {
      "processes": ["ray_address", "cpus_per_trial", "gpus_per_trial", "asha"],
      "ray": ["max_parallel_trials"]}[values.runner]
  unread = {name: f"with --runner={values.runner}" for name in names}
  if not values.asha:
    unread |= dict.fromkeys(
        ["asha_grace_epochs", "asha_reduction_factor"], "without --asha")
  for name, why in unread.items():
    if values[name].present:
      raise InputError(f"--{name} has no effect {why}")


def _runner(
    tool: str,
    output_dir: pathlib.Path) -> contextlib.AbstractContextManager[Runner]:
  values = flags.FLAGS
  if values.runner == "processes":
    return contextlib.nullcontext(LocalRunner(tool, values.max_parallel_trials))
  try:
    from tf_adapters.experiments.ray_runner import RayRunner
  except ImportError as error:
    raise InputError(f"--runner=ray: {first_line(error)}: pip install -e "
                     "'.[sweep]' in the checkout") from None
  return RayRunner(
      tool, output_dir, values.ray_address, values.cpus_per_trial,
      values.gpus_per_trial,
      Asha(values.asha_grace_epochs, values.asha_reduction_factor)
      if values.asha else None)


def _given() -> dict[str, str]:
  """Returns flags of runs that stand on the command line, as text."""
  names = {flag.name for tool in _RUNS.values()
           for flag in flags.FLAGS.get_key_flags_for_module(tool)}
  return {name: flag_text(flags.FLAGS[name].value) for name in sorted(names)
          if flags.FLAGS[name].present and name != "output_dir"}


def main() -> None:
  """Runs `tf-adapters sweep`."""
  _command.run(sys.modules[__name__], _sweep)
