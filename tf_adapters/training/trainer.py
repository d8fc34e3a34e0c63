"""Trains and evaluates one model on one task with `model.fit`.

Validation after each epoch, the best epoch kept, and a checkpoint to resume
from; what a whole run writes beside these is `run`'s business.
"""

import dataclasses
import hashlib
import math
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.data import batching
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError
from tf_adapters.files.by_tensorflow import writing_by_tensorflow
from tf_adapters.modeling import class_weight
from tf_adapters.modeling.learning_rates import default_learning_rate
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.problems import find_problem
from tf_adapters.progress import progress_bar
from tf_adapters.training import defaults, distribution, doubts, prefix_cache
from tf_adapters.training.epoch_lines import EpochLines
from tf_adapters.training.interruption import Interruption, interruptions
from tf_adapters.training.metrics import evaluate_task
from tf_adapters.training.optimization import create_optimizer
from tf_adapters.training.run_folder import CHECKPOINTS_NAME
from tf_adapters.training.run_state import Progress, RunState
from tf_adapters.training.training_config import TrainingConfig

VALIDATION_SPLITS = ("validation", "validation_mismatched")


def widths_of(config: TrainingConfig) -> tuple[int, ...]:
  """`batch_widths` of a configuration, or what is best without."""
  if config.batch_widths is not None:
    return config.batch_widths
  return batching.FEW_WIDTHS if config.compiled else batching.WIDTHS


def predict(
    model: TaskModel, encoded: batching.Encoded,
    config: TrainingConfig) -> Any:
  """The model's outputs for every row once, in the rows' order.

  Replicas get equal parts of every batch: the last one is filled up, as far as
  they need or to its full size where steps are compiled, and what comes of
  these rows is dropped.

  Args:
    model: the model; all workers of its strategy have to ask.
    encoded: the rows.
    config: has their number in a batch, and widths.

  Returns:
    float32 [rows, outputs]; for a model with outputs for each token a list of
    arrays [length, outputs], where length is at least the row's.
  """

  def inputs_alone(inputs: Any, labels: Any = None) -> Any:
    return inputs

  replicas = model.distribute_strategy.num_replicas_in_sync
  batch_size = max(config.eval_batch_size // replicas, 1) * replicas
  batches = (encoded, batch_size, widths_of(config),
             batch_size if config.compiled else replicas)
  with progress_bar(
      "predicting", math.ceil(len(encoded) / batch_size), "batches",
      leave=False) as bar:
    count = tf_keras.callbacks.LambdaCallback(
        on_predict_batch_end=lambda batch, logs: bar.update())
    if model.per_token:
      result: list[Any] = [None] * len(encoded)
      for dataset, rows in batching.batches_by_width(*batches):
        outputs = model.predict(
            dataset.map(inputs_alone), verbose=0, callbacks=[count])
        for row, output in zip(rows, outputs):
          result[row] = output
      return result
    dataset, order = batching.evaluation_batches(*batches)
    outputs = model.predict(dataset.map(inputs_alone), verbose=0,
                            callbacks=[count])[:len(order)]
  result = np.empty_like(outputs)
  result[order] = outputs
  return result


def settled(config: TrainingConfig, model: TaskModel,
            rows: int) -> TrainingConfig:
  """A configuration with the defaults that suit the model and its data.

  Args:
    config: the configuration.
    model: tuned as it will be trained.
    rows: what batches are made of.
  """
  rate, epochs = config.learning_rate, config.num_train_epochs
  return dataclasses.replace(
      config,
      learning_rate=default_learning_rate(model) if rate is None
      else rate,
      num_train_epochs=defaults.default_epochs(batching.batches_per_epoch(
          rows, config.train_batch_size)) if epochs is None else epochs)


def compile_model(
    model: TaskModel, config: TrainingConfig, total_steps: int) -> None:
  """Compiles a model as it is to be trained.

  Args:
    model: tuned as it will be trained.
    config: the configuration.
    total_steps: of the training.
  """
  rate = config.learning_rate
  model.encoder.remat = config.remat
  model.compile(
      optimizer=create_optimizer(
          default_learning_rate(model) if rate is None else rate, total_steps,
          config.warmup_proportion, config.weight_decay),
      loss=model.loss_function,
      metrics=list(find_problem(model.problem_type).keras_metrics),
      jit_compile=config.jit_compile,
      steps_per_execution=config.steps_per_execution)


def weights_of_labels(
    config: TrainingConfig, task: Dataset) -> dict[str, float] | None:
  """Returns the weights of labels in the loss; None where all are the same.

  Raises:
    InputError: the task has no labels, or there is no such label.
  """
  if config.class_weight is None:
    return None
  return task.class_weight(class_weight.parse(config.class_weight))


def check_can_choose(config: TrainingConfig, task: Dataset) -> None:
  """Refuses flags that have no validation split to go by.

  Raises:
    InputError: so it is.
  """
  validation = task.splits.get("validation")
  if validation is not None and validation.labels is not None:
    return
  for flag in ("early_stopping_epochs", "best_metric"):
    if getattr(config, flag):
      raise InputError(f"{flag}: task {task.name} has no labelled validation "
                       "split to go by")


def train(model: TaskModel, task: Dataset, text: TextProcessor,
          config: TrainingConfig, output_dir: pathlib.Path,
          say_cut: Callable[[str, batching.Encoded], None],
          label_weights: Mapping[str, float] | None = None,
          resumable: bool = True) -> Progress:
  """Trains a model and leaves it at its best epoch.

  The best epoch is the one with the highest first metric of the task on the
  validation split (see `metrics.with_best_metric`), the last one where there
  is no such split. Called again with the same arguments after it was stopped,
  it goes on where the newest checkpoint was written.

  Args:
    model: the model, tuned as wanted; compiled here.
    task: the task, with a training split.
    text: the encoder's text processor.
    config: how to train.
    output_dir: gets checkpoints/ and tensorboard/.
    say_cut: is called with each split that was encoded, by its name.
    label_weights: what labels weigh in the loss; None: what the configuration's
      `class_weight` says.
    resumable: whether `output_dir` outlives the call. Who stops the training is
      told what is left of it.

  Returns:
    What was done.

  Raises:
    InputError: there is no training split, its batches cannot be split over
      the replicas, early stopping or the best metric has no split to go by, or
      weights are of labels that do not exist; the data or the encoder is not
      what the checkpoints in `output_dir` were trained on, or none of these
      can be read or written; the loss is not finite; or nothing can be cached.
    KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM, after the step at hand,
      whose state is saved. One worker's ends all.
  """
  check_can_choose(config, task)
  strategy = model.distribute_strategy
  encoded = task.split("train").encode(text)
  validation = {name: task.split(name).encode(text)
                for name in VALIDATION_SPLITS
                if config.eval_each_epoch and name in task.splits
                and task.split(name).labels is not None}
  for name, split in {"train": encoded, **validation}.items():
    say_cut(name, split)
  batch = min(config.train_batch_size, len(encoded))
  if batch % strategy.num_replicas_in_sync:
    raise InputError(
        f"train_batch_size: {batch} rows cannot be split over "
        f"{strategy.num_replicas_in_sync} replicas")
  steps_per_epoch = batching.batches_per_epoch(
      len(encoded), config.train_batch_size)
  asked, config = config, settled(config, model, len(encoded))
  if asked != config:
    print(f"training: {config.num_train_epochs} epochs of {steps_per_epoch} "
          f"steps, learning rate {config.learning_rate:g}")
  # Of each width of a batch, which a log or a notebook shows as a long silence.
  print("the first epoch compiles its steps, which takes a while", flush=True)
  epochs = config.num_train_epochs
  assert epochs is not None  # it is settled
  total_steps = steps_per_epoch * epochs
  compile_model(model, config, total_steps)
  # Metrics are of all workers already: Keras would add them up.
  model.distribute_reduction_method = "first"
  # A first trace that makes variables would have to be done twice.
  model.optimizer.build(model.trainable_variables)

  state = RunState(model, output_dir / CHECKPOINTS_NAME)
  progress = state.progress
  identity = _identity(model, encoded)
  if progress.steps:
    if progress.identity != identity:
      raise InputError(
          f"{state.folder}: was trained on other data or another encoder than "
          "there is now: choose another output_dir")
    print(f"Resuming after step {progress.steps} of {total_steps}.")
  progress.identity = identity
  progress.rows = len(encoded)

  def is_over() -> bool:
    return progress.steps >= total_steps or _is_enough(config, progress)

  if config.prefix_cache and not is_over():
    started = time.perf_counter()
    encoded, *others = (
        prefix_cache.add_prefix_output(
            split, model.encoder, config.eval_batch_size, output_dir,
            config.prefix_cache_dir)
        for split in (encoded, *validation.values()))
    validation = dict(zip(validation, others))
    progress.prefix_seconds += time.perf_counter() - started
  with interruptions() as interruption:
    callbacks = [
        _Bookkeeping(task, validation, config, state, interruption,
                     steps_per_epoch, resumable)]
    if distribution.is_chief(strategy):
      callbacks.append(
          _TensorBoard(str(output_dir / "tensorboard"), write_graph=False))
    in_terminal = sys.stdout.isatty()
    callbacks.append(EpochLines(
        progress, steps_per_epoch, epochs,
        "--num_train_epochs=1, or --max_train_examples=1000, is a first look"
        if resumable else "fit(epochs=1) is a first look", in_terminal))
    try:
      while not is_over():
        # An epoch that was stopped midway is ended in a fit of its own, since
        # Keras counts the same number of steps for every epoch of a fit.
        epoch, done = divmod(progress.steps, steps_per_epoch)
        last = epoch + 1 if done else epochs
        model.fit(
            batching.training_batches(
                encoded, config.train_batch_size, config.seed,
                range(epoch, last), skip=done, widths=widths_of(config)),
            steps_per_epoch=steps_per_epoch - done, initial_epoch=epoch,
            epochs=last, callbacks=callbacks, verbose=int(in_terminal),
            class_weight=label_weights or weights_of_labels(config, task))
    except tf.errors.OpError:
      if interruption.signal:
        interruption.stop()  # rather than wait for a worker that has gone
      raise
  if progress.best_epoch is not None:
    state.assign_best()
  return progress


def _is_enough(config: TrainingConfig, progress: Progress) -> bool:
  """Whether no epoch has been better for long."""
  return (config.early_stopping_epochs is not None
          and progress.epochs_since_best >= config.early_stopping_epochs)


def _identity(model: TaskModel, encoded: batching.Encoded) -> str:
  digest = hashlib.sha256()
  if model.encoder.origin is not None:
    digest.update(model.encoder.origin.fingerprint.encode())
  labels: Any = encoded.labels
  if isinstance(labels, tf.RaggedTensor):
    labels = labels.flat_values  # as long as the word ids
  for tensor in (encoded.word_ids.flat_values, encoded.lengths, labels):
    digest.update(tf.io.serialize_tensor(tensor).numpy()
                  if tensor.dtype == tf.string else tensor.numpy().data)
  return digest.hexdigest()


class _Bookkeeping(tf_keras.callbacks.Callback):
  """Validation, the best epoch and checkpoints, while Keras trains."""

  def __init__(self, task: Dataset, validation: Mapping[str, batching.Encoded],
               config: TrainingConfig, state: RunState,
               interruption: Interruption, steps_per_epoch: int,
               resumable: bool):
    super().__init__()
    self._task = task
    self._validation = validation
    self._config = config
    self._state = state
    self._progress = state.progress
    self._interruption = interruption
    self._steps_per_epoch = steps_per_epoch
    self._left = ("its state is saved, and the same command goes on"
                  if resumable else "nothing of this training is kept")
    self._since = time.perf_counter()
    self._steps_before = 0  # this epoch, or what is left of it
    self._has_enough = False  # of epochs that are not better

  def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
    self._since = time.perf_counter()

  def on_epoch_begin(
      self, epoch: int, logs: dict[str, Any] | None = None) -> None:
    self._steps_before = self._progress.steps
    # Keras begins at zero, also with what is left of an epoch.
    for variable, value in zip(
        self._loss_variables(), self._progress.loss_state):
      variable.assign(value)

  def on_train_batch_end(
      self, batch: int, logs: Any = None) -> None:
    progress = self._progress
    last, progress.steps = progress.steps, self._steps_before + batch + 1
    if not math.isfinite(logs["loss"]):
      rate = float(tf_keras.backend.get_value(
          self.model.optimizer.learning_rate))
      raise InputError(self._state.not_finite(
          f"the loss, at learning rate {rate:.2g}, is"))
    self._ask_workers()
    # The end of an epoch has a checkpoint of its own, with its metrics.
    if progress.steps % self._steps_per_epoch:
      every = self._config.save_checkpoints_steps
      if self._interruption.signal or last // every < progress.steps // every:
        self._save()
      self._stop_if_asked()

  def on_epoch_end(
      self, epoch: int, logs: Any = None) -> None:
    progress = self._progress
    started = time.perf_counter()
    progress.train_seconds += started - self._since
    metrics, warnings = {}, []
    for name, encoded in self._validation.items():
      outputs = predict(self.model, encoded, self._config)
      metrics[name] = evaluate_task(
          self._task, self._task.split(name), encoded, outputs)
      warnings.append(
          doubts.of_predictions(self._task, name, encoded, outputs))
    progress.evaluated_rows = {
        split: len(encoded) for split, encoded in self._validation.items()}
    self._since = time.perf_counter()
    progress.evaluate_seconds += self._since - started
    for split, values in metrics.items():
      prefix = split.replace("validation", "val")
      logs.update({f"{prefix}_{name}": value for name, value in values.items()})
    progress.history.append(metrics)
    # A run that an older version began knows the loss of no epoch before.
    progress.losses += [None] * (
        len(progress.history) - 1 - len(progress.losses))
    progress.losses.append(float(f"{logs['loss']:.5g}"))
    if "validation" in metrics and self._is_best(epoch):
      progress.best_epoch = epoch
      progress.warnings = list(filter(None, warnings))
      self._state.save_best()
    self._save()
    self._ask_workers()
    self._stop_if_asked()
    if progress.best_epoch is not None and _is_enough(self._config, progress):
      self._has_enough = True
      self.model.stop_training = True

  def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
    best = self._progress.best_epoch
    if self._has_enough and best is not None:
      # Behind the last epoch's own line, which is another callback's.
      print(f"no epoch after {best + 1} was better: the training ends")

  def _is_best(self, epoch: int) -> bool:
    if self._progress.best_epoch is None:
      return True
    metric = self._task.metrics[0]
    now, best = (self._progress.history[number]["validation"][metric]
                 for number in (epoch, self._progress.best_epoch))
    return now > best or (math.isnan(best) and not math.isnan(now))

  def _save(self) -> None:
    now = time.perf_counter()
    self._progress.train_seconds += now - self._since
    self._since = now
    self._progress.loss_state = [
        float(tf_keras.backend.get_value(variable))
        for variable in self._loss_variables()
    ] if self._progress.steps % self._steps_per_epoch else []
    self._state.save()

  def _loss_variables(self) -> list[tf.Variable]:
    """Of the mean of the loss over an epoch; Keras lists them too late."""
    return self.model.compiled_loss._total_loss_mean.variables

  def _ask_workers(self) -> None:
    """Lets all workers stop where one was asked to."""
    if distribution.any_worker(self.model.distribute_strategy,
                               self._interruption.signal is not None):
      self._interruption.signal = self._interruption.signal or signal.SIGTERM

  def _stop_if_asked(self) -> None:
    if self._interruption.signal:
      print(f"\nstopped after step {self._progress.steps}: {self._left}",
            file=sys.stderr)
      self._interruption.stop()


class _TensorBoard(tf_keras.callbacks.TensorBoard):
  """Keras' own; where it cannot write, that is said in a line."""

  def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
    with writing_by_tensorflow(self.log_dir):
      super().on_train_begin(logs)

  def on_epoch_end(
      self, epoch: int, logs: dict[str, Any] | None = None) -> None:
    with writing_by_tensorflow(self.log_dir):
      super().on_epoch_end(epoch, logs)

  def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
    with writing_by_tensorflow(self.log_dir):
      super().on_train_end(logs)
