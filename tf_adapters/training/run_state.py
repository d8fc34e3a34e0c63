"""The state that a training is resumed from: checkpoints in one folder.

The best epoch's weights lie beside them.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import time

import safetensors.numpy
import tensorflow as tf

from tf_adapters.errors import InputError, first_line, say
from tf_adapters.files.by_tensorflow import writing_by_tensorflow
from tf_adapters.files.writing import locked, replaced_file, write_file, writing
from tf_adapters.modeling.layers import Dropout
from tf_adapters.modeling.serialization import assign
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.training.distribution import is_chief, on_chief
from tf_adapters.training.run_folder import EPOCHS_NAME

_KEPT = 2
_DIGEST = hashlib.sha256().digest_size


@dataclasses.dataclass
class Progress:
  """The progress of a training; part of its checkpoints.

  Attributes:
    rows: what batches are made of: texts, sentences or windows of contexts.
    evaluated_rows: those of each validation split, each counted once.
    steps: optimizer steps done.
    prefix_seconds, train_seconds, evaluate_seconds: spent so far, over all
      starts.
    history: validation metrics of each epoch done, split -> name -> value.
    losses: the training loss of each epoch done, the mean over its rows; None
      where it is not known.
    loss_state: of the epoch at hand: the variables of Keras' mean.
    best_epoch: number of the best epoch so far, from 0, or None.
    warnings: what makes the best epoch's metrics doubtful, in a line each.
    identity: sha256 over the training data and the encoder's weights.
  """

  rows: int = 0
  evaluated_rows: dict[str, int] = dataclasses.field(default_factory=dict)
  steps: int = 0
  prefix_seconds: float = 0.0
  train_seconds: float = 0.0
  evaluate_seconds: float = 0.0
  history: list[dict[str, dict[str, float]]] = dataclasses.field(
      default_factory=list)
  losses: list[float | None] = dataclasses.field(default_factory=list)
  loss_state: list[float] = dataclasses.field(default_factory=list)
  best_epoch: int | None = None
  warnings: list[str] = dataclasses.field(default_factory=list)
  identity: str = ""

  @property
  def epochs_since_best(self) -> int:
    """Epochs done after the best one; 0 where none was evaluated."""
    if self.best_epoch is None:
      return 0
    return len(self.history) - 1 - self.best_epoch


class _ProgressState(tf.train.experimental.PythonState):
  """Puts a `Progress` into a tf.train.Checkpoint."""

  def __init__(self, progress: Progress):
    super().__init__()
    self.progress = progress

  def serialize(self) -> bytes:
    return json.dumps(dataclasses.asdict(self.progress)).encode()

  def deserialize(self, string_value: bytes) -> None:
    self.progress.__dict__.update(json.loads(string_value))


class RunState:
  """The state of a training: tuned variables, optimizer, dropout, progress.

  Begins with what the newest checkpoint says that can be read, if there is any.
  What is frozen comes from the encoder's own checkpoint. Dropout layers hold
  the state of their random generators and nothing else.

  Of several workers, all have to make it and to save, and the chief writes.

  Args:
    model: compiled, its optimizer built.
    folder: of the checkpoints.
    resumable: whether it outlives the training.

  Attributes:
    progress: how far the training has come: no steps without a checkpoint.
    resumable: the same.

  Raises:
    InputError: there are checkpoints, but none can be read.
  """

  def __init__(self, model: TaskModel, folder: pathlib.Path,
               resumable: bool = True):
    self.progress = Progress()
    self.resumable = resumable
    self.folder = folder
    self._best = folder / "best"
    self._strategy = model.distribute_strategy
    self._tuned = model.tuned_variables()
    self._checkpoint = tf.train.Checkpoint(
        tuned=self._tuned, optimizer=model.optimizer,
        dropouts=[layer for layer in model.submodules
                  if isinstance(layer, Dropout)],
        progress=_ProgressState(self.progress))
    # A TPU's variables lie with its own hosts; the files are to lie here.
    self._options = tf.train.CheckpointOptions(
        experimental_io_device="/job:localhost") if isinstance(
            self._strategy, tf.distribute.TPUStrategy) else None
    # A variable, which workers have to make together.
    _ = self._checkpoint.save_counter
    if is_chief(self._strategy) and folder.is_dir():
      with locked(folder):
        _remove_unfinished(folder)
    self._restore()
    self._manager = tf.train.CheckpointManager(
        self._checkpoint, str(folder), max_to_keep=_KEPT)

  def _restore(self) -> None:
    """Reads a checkpoint; one that is damaged is named on standard error."""
    found = sorted(self.folder.glob("ckpt-*.index"), key=_number)
    good = [str(path.with_suffix("")) for path in found]
    while good:
      try:
        self._checkpoint.restore(
            good[-1], self._options).assert_existing_objects_matched()
        break
      except (tf.errors.OpError, LookupError, ValueError,
              AssertionError) as error:
        say(f"warning: {good.pop()}: damaged, the checkpoint before is taken "
            f"({first_line(error)[:200]})", error=True)
    if found and not good:
      raise InputError(
          f"{self.folder}: none of its checkpoints can be read: remove it to "
          "start anew")
    if good and is_chief(self._strategy):
      # A run that was killed may have left more than are kept.
      for old in good[:-_KEPT]:
        for path in self.folder.glob(f"{pathlib.Path(old).name}.*"):
          path.unlink()
      # What says which checkpoints there are may be damaged, too. Without times
      # the manager would never remove them.
      kept = good[-_KEPT:]
      tf.compat.v1.train.update_checkpoint_state(
          str(self.folder), kept[-1], kept,
          all_model_checkpoint_timestamps=[time.time()] * len(kept),
          last_preserved_timestamp=0.0)

  def save(self) -> None:
    """Writes a checkpoint.

    Raises:
      InputError: a tuned variable is not finite, or the disk is full; the
        checkpoints before are as they were.
    """
    for name, variable in self._tuned.items():
      if not tf.reduce_all(tf.math.is_finite(variable)):
        raise InputError(self.not_finite(f"{name} is"))
    on_chief(self._strategy, self._write)

  def _write(self) -> None:
    steps = self.progress.steps
    with writing_by_tensorflow(
        f"{self.folder}: the state after step {steps}",
        "; the state before it is kept: make room, and the same command goes "
        "on, without --overwrite"):
      try:
        self._manager.save(steps, options=self._options)
      except tf.errors.OpError:
        _remove_unfinished(self.folder)  # which takes the room of another
        raise
      # For those that watch a run.
      write_file(self.folder / EPOCHS_NAME,
                 json.dumps({"epochs": self.progress.history}))

  def save_best(self) -> None:
    """Keeps the tuned variables as they are now.

    Raises:
      InputError: the file cannot be written.
    """
    on_chief(self._strategy, self._write_best)

  def _write_best(self) -> None:
    content = safetensors.numpy.save({
        name: variable.numpy() for name, variable in self._tuned.items()})
    with writing(self._best):
      self.folder.mkdir(parents=True, exist_ok=True)
      with replaced_file(self._best) as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)

  def assign_best(self) -> None:
    """Puts back what `save_best` kept.

    Raises:
      InputError: the file cannot be read, or is damaged.
    """
    try:
      content = self._best.read_bytes()
    except OSError as error:
      raise InputError(
          f"{self._best}: cannot be read: {error.strerror}") from None
    digest, content = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
      raise InputError(f"{self._best}: damaged: remove {self.folder} to start "
                       "anew")
    for name, array in safetensors.numpy.load(content).items():
      assign(self._tuned[name], array)

  def not_finite(self, what: str) -> str:
    """Returns the error on a training that came to no finite number."""
    kept = self._manager.latest_checkpoint
    left = f"{kept} has the last good state" if kept else "no state was kept"
    if not self.resumable:
      left = "the task is as it was before"
    return (f"{what} not a finite number after step {self.progress.steps}: "
            f"a lower learning_rate may help; {left}")


def _remove_unfinished(folder: pathlib.Path) -> None:
  """Removes what TensorFlow left there when it was killed while it wrote."""
  for path in folder.iterdir():
    name = re.match(r"(ckpt-\d+|checkpoint\.tmp)", path.name)
    if name and not (folder / f"{name[1]}.index").exists():
      if path.is_dir():
        shutil.rmtree(path)
      else:
        path.unlink()


def _number(path: pathlib.Path) -> int:
  digits = path.stem.removeprefix("ckpt-")
  return int(digits) if digits.isdecimal() else -1
