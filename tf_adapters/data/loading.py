"""`load_task`: a task by its name."""

import os
from collections.abc import Sequence

from tf_adapters.data import demo, glue, own_files, text_classification
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, similar

TASK_NAMES = (*glue.TASKS, *text_classification.TASKS, "demo", "tsv",
              "tagging")


def load_task(name: str, data_dir: str | os.PathLike[str] | None = None,
              text_column: str = "text", text_pair_column: str | None = None,
              label_column: str = "label",
              problem_type: str = "classification",
              labels: Sequence[str] | None = None,
              label_separator: str = ",", on_bad_row: str = "error",
              encoding: str = "utf-8") -> Dataset:
  """Loads a task with its data.

  Args:
    name: one of `TASK_NAMES`: a GLUE task, one of the paper's 17 text
      classification tasks, "demo"; "tsv" or "tagging" for files of your own.
    data_dir: folder of the files. Without it GLUE tasks are downloaded with
      tensorflow_datasets; "demo" comes with a package and needs none.
    text_column, label_column: of "tsv" and "tagging", see `own_files.load` and
      `tagging.load`.
    text_pair_column, problem_type, label_separator: of "tsv", see
      `own_files.load`.
    labels: of "tsv" and "tagging", label names in order.
    on_bad_row: "error": a row that cannot be used is one; "skip": such rows
      are left out, and counted in the task's notes. See `BadRows`.
    encoding: of the files, such as "windows-1252"; those of the 17 tasks are
      known.

  Raises:
    InputError: the name is unknown, the data cannot be read, or there is a bad
      row.

  Example:
    >>> task = load_task("mrpc", data_dir="glue_data")
    >>> task.labels
    ('not_equivalent', 'equivalent')
  """
  if data_dir is not None:
    data_dir = os.fspath(data_dir)
  if name in glue.TASKS:
    return glue.load(name, data_dir, on_bad_row, encoding)
  if name in text_classification.TASKS:
    return text_classification.load(name, data_dir, on_bad_row)
  if name == "demo":
    return demo.load(on_bad_row)
  if name == "tsv":
    if data_dir is None:
      raise InputError("task tsv: needs data_dir, the folder of your files")
    return own_files.load(data_dir, text_column, text_pair_column,
                          label_column, problem_type, labels,
                          label_separator, on_bad_row, encoding)
  if name == "tagging":
    from tf_adapters.data import tagging  # needs TensorFlow
    return tagging.load(data_dir, labels, on_bad_row, text_column,
                        label_column, encoding)
  near = similar(name, TASK_NAMES)
  hint = f"; did you mean {near}?" if near else ""
  raise InputError(
      f"no task {name!r}; tasks are {', '.join(TASK_NAMES)}{hint}")
