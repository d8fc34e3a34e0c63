"""Trains the model of a `TextTask`: what `fit`'s arguments mean.

The training itself is `training.trainer`'s.
"""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

from tf_adapters.adapter_files.adapter_file import weights_sha256
from tf_adapters.data.batching import Encoded
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, quietly, say
from tf_adapters.modeling.serialization import assign
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text_layer import TextLayer
from tf_adapters.tasks.seeds import seeded
from tf_adapters.training import doubts, trainer
from tf_adapters.training.defaults import default_epochs, enough_epochs
from tf_adapters.training.run_state import Progress
from tf_adapters.training.training_config import TrainingConfig

# What options of a `TrainingConfig` are called in `fit`.
_ARGUMENTS = {"num_train_epochs": "epochs", "train_batch_size": "batch_size",
              "early_stopping_epochs": "early_stopping"}


def configuration(
    data: Dataset, epochs: int | None, batch_size: int,
    learning_rate: float | None, early_stopping: bool | int,
    seed: int) -> TrainingConfig:
  """Makes the training that `TextTask.fit`'s arguments describe.

  Args:
    data: to train on.
    epochs, batch_size, learning_rate, early_stopping, seed: as for `fit`.

  Raises:
    InputError: an argument is out of range, or there is no training split.
  """
  rows = len(data.split("train"))
  try:
    config = TrainingConfig(
        learning_rate=learning_rate, num_train_epochs=epochs,
        train_batch_size=batch_size, seed=seed,
        early_stopping_epochs=None if isinstance(early_stopping, bool)
        else early_stopping)
  except InputError as error:
    raise InputError(by_arguments(str(error))) from None
  validated = data.splits.get("validation")
  if validated is None or validated.labels is None:
    return dataclasses.replace(config, early_stopping_epochs=None)
  if early_stopping is True:
    return dataclasses.replace(
        config, early_stopping_epochs=enough_epochs(
            epochs or default_epochs(max(1, rows // batch_size))))
  return config


def train(model: TaskModel, data: Dataset, text: TextLayer,
          config: TrainingConfig, weights: Mapping[str, float] | None,
          verbose: bool) -> Progress:
  """Trains a model without a folder of its own; see `trainer.train`.

  A training that fails or is stopped leaves the model as it was.
  """

  def say_cut(name: str, encoded: Encoded) -> None:
    if note := encoded.cut_note():
      say(f"data: {name}: {note}")

  with contextlib.ExitStack() as stack:
    stack.enter_context(_as_it_was_where_it_fails(model))
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    stack.enter_context(seeded(config.seed))
    if not verbose:
      stack.enter_context(quietly())
    model.adapt(data.split("train").labels)
    return trainer.train(
        model, data, text, config, pathlib.Path(folder), say_cut, weights,
        resumable=False)


@contextlib.contextmanager
def _as_it_was_where_it_fails(model: TaskModel) -> Iterator[None]:
  """Puts back what a training that is stopped, or diverges, has changed."""
  before = [(variable, variable.numpy())
            for variable in model.changed_by_training()]
  try:
    yield
  except BaseException:
    for variable, array in before:
      assign(variable, array)
    raise


def doubts_before(model: TaskModel, data: Dataset) -> Iterator[str]:
  """Yields what a user should know before a training begins."""
  yield from doubts.of_splits(data, True)
  if model.task.thresholds:
    yield ("the thresholds were chosen for the weights before: choose them "
           'again, by evaluate("validation").best_thresholds()')


def measured(model: TaskModel, data: Dataset,
             progress: Progress) -> TaskDescription:
  """Returns what a model knows of its task, with its best epoch's metrics."""
  best, pairs = progress.best_epoch, model.task.pairs
  return dataclasses.replace(
      model.task, pairs=data.split("train").pairs if pairs is None else pairs,
      metrics={} if best is None else progress.history[best],
      weights_sha256=weights_sha256(model), thresholds={})


def history_of(progress: Progress) -> dict[str, list[float]]:
  """Makes the history of the epochs, as Keras' History has it."""
  history = {"loss": [float("nan") if loss is None else loss
                      for loss in progress.losses]}
  for values in progress.history:
    for split, metrics in values.items():
      prefix = split.replace("validation", "val")
      for name, value in metrics.items():
        history.setdefault(f"{prefix}_{name}", []).append(value)
  return history


def by_arguments(message: str) -> str:
  """Turns a message about flags into one about the arguments of `fit`."""
  for flag, argument in _ARGUMENTS.items():
    message = message.replace(flag, argument)
  return message
