"""A run on data of the user's own: one file, or a folder of files."""

import dataclasses
import pathlib
from collections.abc import Sequence

from tf_adapters.data import own_files
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splitting import DEFAULT_FRACTION, split_task
from tf_adapters.errors import InputError
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
      "", "The data: a .csv, .tsv or .jsonl file, of which parts are held out "
      "for validation and test; or a folder with train and, where there are "
      "such, validation and test files.")
  text_column: str = option("text", "Name of the texts' column.")
  text_pair_column: str | None = option(
      None, "Name of the column of each pair's second text.")
  label_column: str = option(
      "label", "Name of the labels' column; with --problem_type=multi_label "
      "the names of several, of 0 and 1, one for each label.")
  problem_type: str = option(
      "classification", "One label for each text, any number of labels, or "
      "numbers.", choices=tuple(own_files.METRICS))
  label_separator: str = option(
      ",", "multi_label: what stands between the labels of a cell that is no "
      "list, such as ['a', 'b'].")
  validation_fraction: float | None = option(
      None, "Part of the rows that chooses the best epoch; 0 for none. "
      f"({DEFAULT_FRACTION}; none where there is a validation file)", least=0,
      most=0.9)
  test_fraction: float | None = option(
      None, "Part of the rows that is kept for the test at the end; 0 for "
      f"none. ({DEFAULT_FRACTION}; none where there is a test file)", least=0,
      most=0.9)
  split_seed: int = option(
      0, "Of the rows that are held out; every label has its share of them. "
      "Not --seed's: runs that are compared are of the same rows.", least=0,
      most=2**31 - 1)
  name: str = option(
      "", "What the task is called in its adapter file, in banks and exports. "
      "(the data's name)")
  output_dir: str = option(
      "", "Folder of results.json, adapter/, predictions/, checkpoints/, "
      "tensorboard/. The same command resumes a run that was stopped. "
      f"({_RUNS}/ and the task's name)")
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
    if not pathlib.Path(self.data).exists():
      raise InputError(f"data {self.data}: no such file or folder")
    own_files.check_columns(
        self.data, self.text_column, self.text_pair_column, self.label_column,
        self.problem_type, self.encoding)

  def load_task(self, labels: Sequence[str] | None = None) -> Dataset:
    task = own_files.load(
        self.data, self.text_column, self.text_pair_column, self.label_column,
        self.problem_type, labels, self.label_separator, self.on_bad_row,
        self.encoding)
    task = dataclasses.replace(task, name=self.task_name)
    if "train" not in task.splits:  # a test file alone, to be predicted
      return task
    return split_task(task, self.validation_fraction, self.test_fraction,
                      self.split_seed)
