"""Reports on sweeps: a folder of text, tables and figures.

This module says what is in a report and writes it. Its parts are made by
`tables` and `figures`, and set by `document`.
"""

import dataclasses
import datetime
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from tf_adapters.errors import InputError
from tf_adapters.experiments import method_tables, plots, tables
from tf_adapters.experiments.document import (
    Block,
    Heading,
    Picture,
    table_markdown,
    to_html,
    to_markdown,
)
from tf_adapters.experiments.figures import figures
from tf_adapters.experiments.joining import by_encoder, join
from tf_adapters.experiments.paper_figures import (
    PAPER_TABLES,
    TABLE_1,
    TABLE_2,
    families,
)
from tf_adapters.experiments.records import (
    FAILED,
    FINISHED,
    STOPPED,
    UNFINISHED,
    Record,
    results_csv,
    warnings_of,
)
from tf_adapters.experiments.selection import Selected, select
from tf_adapters.experiments.sweep_folder import (
    SWEEP_NAME,
    Sweep,
    read_sweep,
    renamed,
)
from tf_adapters.experiments.table_parts import Table
from tf_adapters.files.writing import (
    output_dir_of,
    replaced_folder,
    write_file,
    writing,
)

REPORT_NAME = "report.md"
_FIGURES, _TABLES = "figures", "tables"
_MOST_TOLD = 5  # failures, and warnings

_TABLE_NAMES = {"table1": TABLE_1, "table2": TABLE_2}


@dataclasses.dataclass(frozen=True)
class Report:
  """A report, all of it in memory.

  Attributes:
    title: its own.
    blocks: what it says, in order.
    results: the CSV file of all trials.
    summary: where the sweeps stand, in a sentence.
    left_out: figures that are not there, with the reason.
  """

  title: str
  blocks: tuple[Block, ...]
  results: str
  summary: str
  left_out: tuple[str, ...]

  @property
  def pictures(self) -> list[Picture]:
    return [block for block in self.blocks if isinstance(block, Picture)]

  @property
  def tables(self) -> list[Table]:
    return [block for block in self.blocks if isinstance(block, Table)]


def make_report(sweep_dirs: Sequence[str]) -> Report:
  """Makes the report on sweeps, finished or not.

  Args:
    sweep_dirs: folders of sweeps.

  Raises:
    InputError: a folder has no sweep, or a damaged one; or the same setting was
      run with other flags in two of them.
  """
  return report_on([read_sweep(folder) for folder in dict.fromkeys(sweep_dirs)])


def report_on(sweeps: Sequence[Sweep]) -> Report:
  """Makes the report on sweeps that have been read."""
  records = join(sweeps)
  groups = by_encoder(records)
  choices = {encoder: _marked(sweeps, select(group, encoders_apart=False))
             for encoder, group in groups.items()}
  encoders = {record.trial.name: encoder for encoder, group in groups.items()
              for record in group}
  pictures, left_out = [], []
  compared: list[Table] = []
  for encoder, group in groups.items():
    alone = len(groups) == 1
    found, drawn = _comparisons(encoder, group, choices[encoder], alone)
    compared += found
    pictures += drawn
    drawn, missing = figures(encoder, group, alone)
    pictures += drawn
    left_out += missing
  summary = _summary(sweeps, records)
  head = [Heading("Methods")] if compared else []
  blocks: list[Block] = [
      summary,
      "Scores are in %, mean ± standard error over seeds. The setting of each "
      "method on each task was selected by the validation split alone; its "
      "score is that of the split that is named. Rows that are marked as the "
      "paper's are printed in Houlsby et al., Parameter-Efficient Transfer "
      "Learning for NLP, ICML 2019 (arXiv:1902.00751): they were not measured "
      "here, and are of other encoders or other test sets.",
      *head, *compared,
      Heading("Tables"), *_tables(records, choices),
      Heading("Figures"), *pictures]
  if left_out:
    blocks += ["Left out:", left_out]
  blocks += [Heading("Selected settings"), tables.settings_table(choices),
             Heading("What was run"), *_runs(sweeps, records)]
  return Report(
      f"Report on {', '.join(sweep.folder for sweep in sweeps)}",
      tuple(blocks), results_csv(records, lambda record: {
          "sweep": record.trial.sweep,
          "encoder": encoders[record.trial.name]}),
      summary, tuple(left_out))


def write_report(report: Report, output_dir: pathlib.Path) -> None:
  """Writes a report, in the place of an older one.

  Raises:
    InputError: the folder cannot be written, or holds something else.
  """
  texts = {REPORT_NAME: to_markdown(report.title, report.blocks),
           "report.html": to_html(report.title, report.blocks),
           "results.csv": report.results}
  figures = {f"{picture.name}.{kind}": getattr(picture, kind)
             for picture in report.pictures for kind in ("png", "pdf", "csv")}
  if os.path.isfile(output_dir):
    raise InputError(f"output_dir {output_dir}: is a file, not a folder")
  if os.path.exists(output_dir / SWEEP_NAME):
    raise InputError(f"output_dir {output_dir}: is a sweep's folder")
  with writing(f"output_dir {output_dir}"):
    output_dir.mkdir(parents=True, exist_ok=True)
  with output_dir_of("report", output_dir), writing(f"output_dir {output_dir}"):
    if not (output_dir / REPORT_NAME).exists():
      for name in (_FIGURES, _TABLES):
        if (output_dir / name).exists():
          raise InputError(
              f"output_dir {output_dir}: has {name}/, but no {REPORT_NAME}: "
              "choose another, as they would be replaced")
    for name, content in texts.items():
      write_file(output_dir / name, content)
    with replaced_folder(output_dir / _TABLES) as folder:
      for table in report.tables:
        write_file(folder / f"{table.name}.csv", table.csv)
        write_file(folder / f"{table.name}.md", table_markdown(table))
    with replaced_folder(output_dir / _FIGURES) as folder:
      for name, content in figures.items():
        write_file(folder / name, content)


def _summary(sweeps: Sequence[Sweep], records: Sequence[Record]) -> str:
  finished = [record for record in records if record.status == FINISHED]
  stopped, failed = (sum(record.status == status for record in records)
                     for status in (STOPPED, FAILED))
  missing = len(records) - len(finished) - stopped
  seconds = sum(record.finished["seconds"]["total"] for record in finished)
  text = (f"{len(finished)} of {len(records)} trials are finished, which took "
          f"{datetime.timedelta(seconds=round(seconds))} in all.")
  if stopped:
    text += f" {stopped} were stopped early, as others were ahead of them."
  if missing:
    text += f" {missing} are missing"
    text += f", {failed} of which failed" if failed else ""
    text += ": what is here is not yet the whole."
  if any(map(_awaits_seeds, sweeps)):
    text += " The other seeds of what is selected are still to come."
  return text


def _marked(sweeps: Sequence[Sweep],
            choices: Iterable[Selected]) -> list[Selected]:
  """Marks choices for which settings or seeds are missing yet."""
  marked = []
  for choice in choices:
    wanted: set[int] = set().union(*(
        sweep.seeds_of(choice.task) for sweep in sweeps
        if choice.task in sweep.spec["tasks"]
        and choice.method in sweep.spec["methods"]))
    done = {record.trial.seed for record in choice.records}
    marked.append(dataclasses.replace(choice, partial=(
        choice.incomplete > choice.stopped or not done >= wanted)))
  return marked


def _awaits_seeds(sweep: Sweep) -> bool:
  """Returns whether trials are to come that no record is of yet."""
  listed: dict[tuple[str, str], set[int]] = {}  # setting -> its seeds
  at_work: set[tuple[str, str]] = set()  # tasks and methods
  for record in sweep.records:
    trial = record.trial
    listed.setdefault((trial.task, trial.setting), set()).add(trial.seed)
    if record.status == UNFINISHED:
      at_work.update((trial.task, method) for method in trial.methods)

  def awaits(choice: Selected) -> bool:
    wanted = sweep.seeds_of(choice.task)
    if not wanted > set(sweep.spec["selection_seeds"]):
      return False
    if not choice.records:  # all have failed, if none is at work
      return (choice.task, choice.method) in at_work
    return not listed[choice.task, choice.records[0].trial.setting] >= wanted

  return any(map(awaits, select(sweep.records)))


def _comparisons(
    encoder: str, records: Sequence[Record], choices: Sequence[Selected],
    alone: bool) -> tuple[list[Table], list[Picture]]:
  """Puts methods side by side, for each family of tasks."""
  found, pictures = [], []
  kinds = families((record.trial.task for record in records), renamed(records))
  for family, titles in kinds.items():
    methods = {choice.method for choice in choices if choice.task in titles}
    if len(titles) < 2 and len(methods) < 2:
      continue
    suffix = _suffix(*[family] * (len(kinds) > 1), *[encoder] * (not alone))
    title = ", ".join([f"Methods, {family}", *[encoder] * (not alone)])
    compared = method_tables.compare(encoder, choices, titles)
    found.append(method_tables.methods_table(
        f"methods{suffix}", title, compared))
    paper = PAPER_TABLES.get(family)
    table = method_tables.distance_table(
        f"distance{suffix}", f"{title}: distance to full fine-tuning",
        compared, paper)
    if table is not None:
      found.append(table)
      papers = {label: mean for label, (_, _, mean)
                in method_tables.paper_distances(paper, compared).items()
                if mean is not None}
      pictures.append(Picture(
          table.name, table.title, " ".join(table.notes),
          plots.draw_distances(compared, papers), table.csv))
  return found, pictures


def _suffix(*names: str) -> str:
  """Makes the end of a file's name, for what a table is of."""
  return "".join("-" + re.sub(r"[^\w.-]", "_", name) for name in names)


def _tables(records: Sequence[Record],
            choices: tables.Choices) -> list[Table | str]:
  """Makes the paper's tables, then one for each task that is in none of them.
  """
  others = {record.trial.task for record in records}
  not_papers = renamed(records)
  own = {encoder: [choice for choice in group if choice.task not in not_papers]
         for encoder, group in choices.items()}
  found: list[Table | str] = []
  for name, paper in _TABLE_NAMES.items():
    table = tables.paper_table(name, paper, own)
    if table is not None:
      found.append(table)
    others -= {column.task for column in paper.columns} - not_papers
  for task in sorted(others):
    table = tables.task_table(task, choices)
    found.append(table or f"Task {task}: no setting is complete yet.")
  return found


def _seeds(sweep: Sweep) -> str:
  """Returns the seeds of all tasks, then those of tasks that have others."""
  seeds = [", ".join(map(str, sweep.spec["seeds"]))]
  seeds += [f"{task} {', '.join(map(str, others))}"
            for task, others in sweep.spec["task_seeds"].items()]
  return "; ".join(seeds)


def _runs(sweeps: Sequence[Sweep],
          records: Sequence[Record]) -> list[Block]:
  """Lists the sweeps, and the trials that failed."""
  blocks: list[Block] = []
  for sweep in sweeps:
    spec = sweep.spec
    counts = {status: sum(record.status == status for record in sweep.records)
              for status in (FINISHED, FAILED, STOPPED)}
    ended = ", ".join(f"{count} {status}" for status, count in counts.items()
                      if count or status != STOPPED)
    flags = " ".join(f"--{name}={text}"
                     for name, text in spec["flags"].items())
    blocks.append([
        f"{sweep.folder}: tf-adapters {spec.get('tool', 'glue')}; "
        f"{len(sweep.records)} trials, {ended}",
        f"tasks: {', '.join(spec['tasks'])}",
        f"methods: {', '.join(spec['methods'])}",
        f"seeds: {_seeds(sweep)}; selected by "
        f"{', '.join(map(str, spec['selection_seeds']))}",
        f"flags: {flags or 'none'}",
        *(f"versions of {package}: {', '.join(sorted(versions))}"
          for package, versions in _versions(sweep.records).items())])
  warned = [f"{record.trial.name}: {warning}" for record in records
            for warning in warnings_of(record)]
  if warned:
    blocks += _first("Warnings of trials", warned)
  failed = [f"{record.trial.name}: {record.error}" for record in records
            if record.status == FAILED]
  return [*blocks, *(_first("Failed", failed) if failed else [])]


def _first(what: str, lines: Sequence[str]) -> list[Block]:
  """Lists some lines, and says how many there are."""
  if len(lines) > _MOST_TOLD:
    what += f", the first {_MOST_TOLD} of {len(lines)}"
  return [f"{what}:", list(lines[:_MOST_TOLD])]


def _versions(records: Iterable[Record]) -> Mapping[str, set[str]]:
  """Returns package -> its versions that trials were run with."""
  found: dict[str, set[str]] = {}
  for record in records:
    versions = (record.results or {}).get("versions")
    for package in ("tf_adapters", "tensorflow"):
      if isinstance(versions, dict) and package in versions:
        found.setdefault(package, set()).add(str(versions[package]))
  return found
