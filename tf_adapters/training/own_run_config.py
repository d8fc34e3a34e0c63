"""A run on data of the user's own: one file, or a folder of files."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tf_adapters.data import one_file, own_files
from tf_adapters.data.bad_rows import ON_BAD_ROW
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import AUTO_ENCODING
from tf_adapters.data.splitting import DEFAULT_FRACTION, split_task
from tf_adapters.data.squad_files import ANSWERS, CONTEXT, QUESTION
from tf_adapters.data.squad_options import SquadOptions, with_options
from tf_adapters.data.tables import find_columns
from tf_adapters.errors import InputError, listed
from tf_adapters.files.reading import near_name
from tf_adapters.modeling import class_weight
from tf_adapters.modeling.config import option, options
from tf_adapters.training.run_config import RunConfig

# Where runs go that do not say where.
_RUNS = "runs"


@dataclasses.dataclass(frozen=True)
class OwnRunConfig(RunConfig):
  """A run on data of the user's own. See `tf-adapters train --help`.

  It trains and evaluates, unless it is told not to. What it does not say of its
  name and its folder is made of the data's name.

  Example:
    >>> OwnRunConfig(data="data/tickets.csv").output_dir
    'runs/tickets'
  """

  data: str = option(
      "", "The data. A .csv, .tsv, .jsonl or .parquet file, whose rows are "
      "split into training, validation and test. Or a folder with a file for "
      "each split: train, and if you have them validation and test.")
  text_column: str = option("text", "Name of the texts' column.")
  text_pair_column: str | None = option(
      None, "Name of the column of each pair's second text.")
  label_column: str = option(
      "label", "Name of the labels' column. With --problem_type=multi_label "
      "the names of several columns of 0 and 1, one for each label.")
  problem_type: str = option(
      "classification", "Labels: one for each text (classification), any "
      "number (multi_label), or a number as the label (regression). tagging: "
      "--text_column has lists of words, --label_column a tag for each word. "
      "span: --text_column has questions, --text_pair_column the texts that "
      "answer them, --label_column the answers.",
      choices=(*own_files.METRICS, "tagging", "span"))
  label_separator: str = option(
      ",", "multi_label: separator between the labels of a cell. Lists such as "
      "['a', 'b'] need none.")
  delimiter: str | None = option(
      None, "Delimiter between the cells of a table. (found by the header)")
  encoding: str = option(
      AUTO_ENCODING, "Encoding of the data's files: utf-8, windows-1252, "
      "latin-1, gb18030, utf-16 or any other one that Python knows. auto finds "
      "UTF-8 and UTF-16, and takes others for windows-1252, or else latin-1.")
  on_bad_row: str = option(
      "skip", "Leave rows out that cannot be used and count them by reason "
      "(skip), or stop at the first one and name it (error). Such rows have no "
      "text, an unknown label, another number of columns and so on.",
      choices=ON_BAD_ROW)
  validation_fraction: float | None = option(
      None, "Part of the rows that chooses the best epoch; 0 for none. "
      f"({DEFAULT_FRACTION}; none where there is a validation file)", least=0,
      most=0.9)
  test_fraction: float | None = option(
      None, "Part of the rows that is kept for the test at the end; 0 for "
      f"none. ({DEFAULT_FRACTION}; none where there is a test file)", least=0,
      most=0.9)
  split_seed: int = option(
      0, "Seed of the rows that are held out; every label has its share. It "
      "is not --seed: runs with other seeds have the same rows.", least=0,
      most=2**31 - 1)
  name: str = option(
      "", "Name of the task in its adapter file, in banks and in exports. "
      "(the data's name)")
  output_dir: str = option(
      "", f"{options(RunConfig)['output_dir'].help} Without it train takes "
      f"{_RUNS}/ and the task's name.")
  do_train: bool = option(True, options(RunConfig)["do_train"].help)
  do_eval: bool = option(True, options(RunConfig)["do_eval"].help)

  def __post_init__(self) -> None:
    super().__post_init__()
    if not self.data:
      return
    # A folder may be "." or "tickets/"; it has a name all the same.
    path = pathlib.Path(self.data).absolute()
    name = self.name or (path.name if path.is_dir() else path.stem)
    object.__setattr__(self, "name", name)
    if self.delimiter == "\t":  # which is no part of a flag file's line
      object.__setattr__(self, "delimiter", "\\t")
    if not self.output_dir:
      object.__setattr__(
          self, "output_dir", str(pathlib.Path(_RUNS, name)))

  @property
  def task_name(self) -> str:
    return self.name

  @property
  def known_problem(self) -> str | None:
    return self.problem_type

  def check_data(self) -> None:
    task = self.load_task()
    if self.class_weight is not None:
      task.class_weight(class_weight.parse(self.class_weight))

  def fitted(self, task: Dataset, max_length: int,
             span: Mapping[str, Any] | None) -> Dataset:
    """Cuts the contexts of a task to fit; no flag says how."""
    if task.problem_type != "span":
      return task
    return with_options(
        task, SquadOptions.from_dict(task.span or {}).fitted(max_length)
        if span is None else SquadOptions.from_dict(span))

  def load_task(self, labels: Sequence[str] | None = None) -> Dataset:
    return _load(self, labels and tuple(labels))


@functools.lru_cache(maxsize=4)  # what is checked is not read again
def _load(config: OwnRunConfig, labels: Sequence[str] | None) -> Dataset:
  path = pathlib.Path(config.data).expanduser()
  if not path.exists():
    raise InputError(f"{path}: no such file or folder"
                     + (near_name(path) or "; --data says where it is"))
  columns = [config.text_column, *filter(None, [config.text_pair_column])]
  encoding = None if config.encoding == AUTO_ENCODING else config.encoding
  first, *_ = one_file.frames_of_path(
      path, columns, encoding, config.delimiter, config.on_bad_row).items()
  split, frame = first
  if config.problem_type == "span" and config.text_pair_column is None:
    raise InputError(
        "problem_type=span: --text_column names the questions, "
        "--text_pair_column the texts that answer them, --label_column the "
        f"answers; {path} has {listed(frame.header)}")
  if config.problem_type != "span" and {QUESTION, CONTEXT, ANSWERS} <= {
      *map(str.lower, frame.header)} and not (
          all(map(frame.has, columns)) and config.label_column != ANSWERS):
    raise InputError(
        f"{path}: holds questions and answers: --problem_type=span "
        f"--text_column={QUESTION} --text_pair_column={CONTEXT} "
        f"--label_column={ANSWERS} learns to answer")
  labelled = [config.label_column]
  if config.problem_type == "multi_label" and not frame.has(*labelled):
    labelled = [name.strip() for name in config.label_column.split(",")]
  find_columns(frame.name, frame.header, [
      *zip(("--text_column", "--text_pair_column"), columns),
      *(("--label_column", name) for name in labelled
        if split != "test" or frame.has(name))])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a run says what is left out
    task = Dataset.from_file(
        path, config.text_column, text_pair=config.text_pair_column,
        label=labelled if len(labelled) > 1 else config.label_column,
        problem_type=config.problem_type, labels=labels,
        label_separator=config.label_separator, on_bad_row=config.on_bad_row,
        name=config.name, encoding=encoding, delimiter=config.delimiter)
  if "train" not in task.splits:  # a test file alone, to be predicted
    return task
  drawn = split_task(task, config.validation_fraction, config.test_fraction,
                     config.split_seed)
  if (config.split_seed != type(config).split_seed
      and drawn.splits.keys() == task.splits.keys()):
    raise InputError(f"split_seed={config.split_seed} has no effect: no split "
                     f"of {path} is drawn: leave it out")
  return drawn
