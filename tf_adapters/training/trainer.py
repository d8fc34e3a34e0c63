"""Trains one model on one task with `model.fit`.

The validation after each epoch and the checkpoints are `bookkeeping`'s
business; what a whole run writes beside these is `run`'s.
"""

import dataclasses
import hashlib
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tf_adapters.data import batching
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, has_bar, say
from tf_adapters.modeling import class_weight
from tf_adapters.modeling.learning_rates import default_learning_rate
from tf_adapters.modeling.models import TextRegressor
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text import TextProcessor
from tf_adapters.problems import find_problem
from tf_adapters.training import defaults, distribution, prefix_cache
from tf_adapters.training.bookkeeping import Bookkeeping, TensorBoard, is_enough
from tf_adapters.training.epoch_lines import EpochLines
from tf_adapters.training.interruption import interruptions
from tf_adapters.training.model_outputs import widths_of
from tf_adapters.training.optimization import create_optimizer
from tf_adapters.training.run_folder import CHECKPOINTS_NAME
from tf_adapters.training.run_state import Progress, RunState
from tf_adapters.training.training_config import TrainingConfig

VALIDATION_SPLITS = ("validation", "validation_mismatched")


def settled(config: TrainingConfig, model: TaskModel,
            rows: int) -> TrainingConfig:
  """Returns a configuration with the defaults that suit the model and its data.

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
    say(f"training: {config.num_train_epochs} epochs of {steps_per_epoch} "
        f"steps, learning rate {config.learning_rate:g}")
  epochs = config.num_train_epochs
  assert epochs is not None  # it is settled
  total_steps = steps_per_epoch * epochs
  compile_model(model, config, total_steps)
  # Metrics are of all workers already: Keras would add them up.
  model.distribute_reduction_method = "first"
  # A first trace that makes variables would have to be done twice.
  with strategy.scope():  # where the model was made, perhaps not here
    model.optimizer.build(model.trainable_variables)

  state = _taken_up(model, encoded, output_dir, total_steps, resumable)
  progress = state.progress
  if progress.steps:
    say(f"Resuming after step {progress.steps} of {total_steps}.")
    if progress.best_epoch == progress.steps / steps_per_epoch - 1:
      state.save_best()  # a run that was killed may not have
  if not _is_over(config, progress, steps_per_epoch):
    # Of each width of a batch, which a log or a notebook shows as a silence.
    say("the first steps are compiled, which takes a while")
  if config.prefix_cache and not _is_over(config, progress, steps_per_epoch):
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
        Bookkeeping(task, validation, config, state, interruption,
                     steps_per_epoch)]
    if distribution.is_chief(strategy):
      callbacks.append(
          TensorBoard(str(output_dir / "tensorboard"), write_graph=False))
    callbacks.append(EpochLines(
        progress, steps_per_epoch, epochs,
        "--num_train_epochs=1, or --max_train_examples=1000, is a first look"
        if resumable else "fit(epochs=1) is a first look",
        has_bar()))
    try:
      _fit(model, encoded, config, progress, callbacks,
           label_weights or weights_of_labels(config, task))
    except tf.errors.OpError:
      if interruption.signal:
        interruption.stop()  # rather than wait for a worker that has gone
      raise
  if progress.best_epoch is not None:
    state.assign_best()
  return progress


def _taken_up(model: TaskModel, encoded: batching.Encoded,
              output_dir: pathlib.Path, total_steps: int,
              resumable: bool) -> RunState:
  """Reads the state of a training from its newest checkpoint.

  Raises:
    InputError: it was trained on other data or another encoder; or on numbers
      in another unit, as earlier versions did.
  """
  state = RunState(model, output_dir / CHECKPOINTS_NAME, resumable)
  progress = state.progress
  identity = _identity(model, encoded)
  if progress.steps and progress.identity != identity:
    raise InputError(
        f"{state.folder}: was trained on other data or another encoder than "
        "there is now, or is a regression of an earlier version: choose "
        "another output_dir")
  progress.identity = identity
  progress.rows = len(encoded)
  return state


def _is_over(config: TrainingConfig, progress: Progress,
             steps_per_epoch: int) -> bool:
  """Returns whether all epochs are done, or enough of them."""
  assert config.num_train_epochs is not None  # it is settled
  return (progress.steps >= config.num_train_epochs * steps_per_epoch
          or is_enough(config, progress))


def _fit(model: TaskModel, encoded: batching.Encoded, config: TrainingConfig,
         progress: Progress, callbacks: list[tf_keras.callbacks.Callback],
         label_weights: Mapping[str, float] | None) -> None:
  """Trains for the epochs that are left."""
  steps_per_epoch = batching.batches_per_epoch(
      len(encoded), config.train_batch_size)
  epochs = config.num_train_epochs
  assert epochs is not None  # it is settled
  while not _is_over(config, progress, steps_per_epoch):
    # An epoch that was stopped midway is ended in a fit of its own, since
    # Keras counts the same number of steps for every epoch of a fit.
    epoch, done = divmod(progress.steps, steps_per_epoch)
    last = epoch + 1 if done else epochs
    model.fit(
        batching.training_batches(
            encoded, config.train_batch_size, config.seed,
            range(epoch, last), skip=done, widths=widths_of(config)),
        steps_per_epoch=steps_per_epoch - done, initial_epoch=epoch,
        epochs=last, callbacks=callbacks, verbose=int(has_bar()),
        class_weight=label_weights)


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
  if isinstance(model, TextRegressor):
    digest.update(repr((model.mean, model.scale)).encode())
  return digest.hexdigest()
