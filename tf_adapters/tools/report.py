"""Report on sweeps: the paper's tables and figures, with your scores.

Examples:
  tf-adapters report --sweep_dir=sweeps/glue
  tf-adapters report --sweep_dir=sweeps/glue,sweeps/text --output_dir=report
  tf-adapters report --sweep_dir=sweeps/methods --preset=minilm_methods

A sweep may still be at work: what has finished is reported, and how much is
missing. Several sweeps are one report. With --spec or --preset a report has all
that this asks for, also where the sweep's last call took a part. --tasks and
--methods name a part of it. Flags of runs that the sweep's last call had beside
the spec hold here, too.

output_dir, or report/ in the first sweep_dir, gets report.md, and report.html,
which is one file to pass on. results.csv has a line for each trial, tables/ the
tables as CSV, and figures/ each figure as PNG, PDF and the CSV that is drawn.
"""

import itertools
import pathlib
import sys

from absl import flags

from tf_adapters.errors import InputError, listed, say
from tf_adapters.experiments.joining import by_encoder, join
from tf_adapters.experiments.selection import select, selected_table
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.sweep_folder import (
    Sweep,
    check_sweep,
    given_flags,
    read_sweep,
    sweep_of,
)
from tf_adapters.files.writing import check_output_dir
from tf_adapters.tools import _command, _flags, sweep
from tf_adapters.training.run_config import RunConfig

flags.DEFINE_list(
    "sweep_dir", None, "Folders of sweeps: output_dir of tf-adapters sweep.")
flags.register_validator(
    "sweep_dir", lambda folders: folders is None or (folders and all(folders)),
    "must name folders")
_flags.define(RunConfig, "output_dir")
for _name in ("spec", "preset", "tasks", "methods"):
  flags.declare_key_flag(_name)


def _report() -> None:
  _command.require("sweep_dir")
  values = flags.FLAGS
  if values.output_dir == "":
    raise InputError("output_dir must not be empty")
  output_dir = pathlib.Path(
      values.output_dir or pathlib.Path(values.sweep_dir[0], "report"))
  of_spec = values.spec is not None or values.preset is not None
  for name in ("tasks", "methods"):
    if values[name].present and not of_spec:
      raise InputError(f"--{name} has no effect without --spec or --preset")
  for folder in values.sweep_dir:
    check_sweep(folder, whole=not of_spec)
  check_output_dir(output_dir)
  sweeps = _sweeps(of_spec)
  # What comes now imports Matplotlib, which takes its time.
  from tf_adapters.experiments.report import report_on, write_report
  report = report_on(sweeps)
  write_report(report, output_dir)
  _command.print_columns(selected_table(itertools.chain.from_iterable(
      select(group, encoders_apart=False)
      for group in by_encoder(join(sweeps)).values())))
  print()
  say(report.summary)
  if report.left_out:
    names = [line.partition(":")[0] for line in report.left_out]
    say(f"left out: {listed(names)}; the report says why")
  say(f"tables: {len(report.tables)}, figures: {len(report.pictures)}, in "
      f"{output_dir / 'report.html'}")


def _sweeps(of_spec: bool) -> list[Sweep]:
  values = flags.FLAGS
  folders = list(dict.fromkeys(values.sweep_dir))
  if not of_spec:
    return [read_sweep(folder) for folder in folders]
  if len(folders) > 1:
    raise InputError("--spec and --preset are for a single sweep_dir")
  folder, = folders
  spec = read_spec(sweep.spec_path(), values.tasks, values.methods,
                   given_flags(folder))
  return [sweep_of(folder, spec, sweep.trials_of(
      spec, pathlib.Path(folder)))]


def main() -> None:
  """Runs `tf-adapters report`."""
  _command.run(sys.modules[__name__], _report)
