"""Chooses the rows to evaluate, with the model's numbers for labels."""

import dataclasses

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.own_files import METRICS
from tf_adapters.data.splits import Examples
from tf_adapters.data.squad_options import SquadOptions, with_options
from tf_adapters.data.tag_schemes import entity_tags
from tf_adapters.errors import InputError, listed
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.problems import find_problem

# The split of rows that are none of the task's own.
_GIVEN = "given"


def rows_to_evaluate(
    model: TaskModel, own: Dataset | None,
    data: Dataset | Examples | str | None) -> tuple[Dataset, str]:
  """Returns the dataset and the name of its split that a model is evaluated on.

  Args:
    model: the model.
    own: the data that its task was made with, if any.
    data: as for `TextTask.evaluate`.

  Returns:
    The dataset, whose labels are the model's, and the name: "given" where the
    rows are none of the task's own splits.

  Raises:
    InputError: the task has no data of its own, or what was given is no split,
      is of another type of problem, or has other labels.
  """
  if data is None or isinstance(data, str):
    if own is None:
      raise InputError("evaluate needs data, and this task was loaded without: "
                       "TextTask.load(path, data=data)")
    return own, data or _last_split(own)
  if isinstance(data, Dataset):
    name = _last_split(data)
    data = with_labels_of(model, data)
    if name == "train":  # all that it has, on which nothing was trained
      data = dataclasses.replace(data, splits={_GIVEN: data.split(name)})
      name = _GIVEN
    return data, name
  if not hasattr(data, "with_labels"):
    raise InputError(
        f"a {type(data).__name__} is no split: ta.Dataset.from_dataframe(df, "
        "text=..., label=...), from_lists and from_file make a Dataset of "
        "what is to be evaluated")
  name = next((name for name, split in (own.splits if own else {}).items()
               if split is data or split.ids is data.ids), _GIVEN)
  labels = getattr(data, "label_names", ()) or model.labels
  alone = Dataset(
      model.task.name, model.problem_type, tuple(labels),
      own.metrics if own else _metrics(model), {name: data}, "what was given",
      span=model.task.span)
  return with_labels_of(model, alone), name


def with_labels_of(model: TaskModel, data: Dataset) -> Dataset:
  """Returns a dataset with a model's numbers for its labels.

  Raises:
    InputError: it is of another type of problem, has other labels, or pairs
      where the task takes single texts or the other way round.
  """
  if data.problem_type != model.problem_type:
    raise InputError(
        f"the data is for {data.problem_type}, the task for "
        f"{model.problem_type}: problem_type={model.problem_type!r} reads it "
        "so")
  pairs = find_problem(model.problem_type).takes_pairs(model.task.pairs)
  for name, split in data.splits.items():
    if pairs is not None and split.pairs != pairs:
      raise InputError(
          f"the {name} split has {'pairs' if split.pairs else 'single texts'}, "
          f"the task is on {'pairs' if pairs else 'single texts'}: text_pair "
          "names the column of the other texts"
          + ("" if pairs else ", and is left out without one"))
  if model.task.span is not None:
    data = with_options(data, SquadOptions.from_dict(model.task.span))
  labels = model.labels
  if data.labels == labels:
    return data
  unknown = [label for label in data.labels if label not in labels]
  if unknown:
    raise InputError(f"the data has labels that the task has not: "
                     f"{listed(unknown)}; the task's are {listed(labels)}")
  numbers = [labels.index(label) for label in data.labels]
  return dataclasses.replace(
      data, labels=labels, label_type=model.task.label_type, splits={
          name: split.with_labels(numbers, len(labels))
          for name, split in data.splits.items()})


def _last_split(data: Dataset) -> str:
  """Names the split that a dataset is evaluated on."""
  labelled = [name for name in ("test", "validation", "train")
              if name in data.splits and data.splits[name].labels is not None]
  return labelled[0] if labelled else "test"


def _metrics(model: TaskModel) -> tuple[str, ...]:
  """Computes the metrics of a split that comes without a dataset."""
  match model.problem_type:
    case "tagging":
      from tf_adapters.data import tagging
      return (tagging.ENTITY_METRICS if entity_tags(model.labels).entities
              else tagging.TOKEN_METRICS)
    case "span":
      from tf_adapters.data import squad
      return (squad.V2_METRICS if (model.task.span or {}).get("version_2")
              else squad.V1_METRICS)
  return METRICS[model.problem_type]
