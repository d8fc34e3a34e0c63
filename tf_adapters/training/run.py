"""A whole run in its output_dir: train, evaluate, predict, write results.

A run is described by a `RunConfig`, whose fields are a tool's flags. The folder
is what makes a run repeatable, resumable and safe to call twice.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.info import library_versions, read_info
from tf_adapters.data.batching import Encoded
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, listed, say
from tf_adapters.files.writing import (
    output_dir_of,
    replaced_folder,
    write_file,
    writing,
)
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text_layer import TextLayer
from tf_adapters.training import (
    distribution,
    doubts,
    prefix_cache,
    run_data,
    trainer,
)
from tf_adapters.training.interruption import signals_act
from tf_adapters.training.metrics import evaluate_task
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.predictions import prediction_files
from tf_adapters.training.run_checks import check_start
from tf_adapters.training.run_config import RunConfig
from tf_adapters.training.run_folder import (
    CHECKPOINTS_NAME,
    FLAGS_NAME,
    RESULTS_NAME,
    remove_run,
)
from tf_adapters.training.run_loading import load_task, load_task_model
from tf_adapters.training.run_plan import Plan, plan_run
from tf_adapters.training.run_splits import labelled_splits, test_splits
from tf_adapters.training.run_summary import say_finished, summary_of
from tf_adapters.training.training_config import TrainingConfig
from tf_adapters.training.unread_flags import unread_method_flags


def run(config: RunConfig) -> dict[str, Any]:
  """Does what is asked for and not yet done in `config.output_dir`.

  Of several workers the chief writes; the others read the same folder, and say
  nothing but what is wrong.

  Returns:
    The contents of results.json.

  Raises:
    InputError: the data, the encoder, the adapter file or the configuration is
      wrong or contradicts itself; the folder holds another run, or cannot be
      written.
    WorkerLost: another worker has gone; the run can be resumed.
  """
  check_start(config)
  output_dir = pathlib.Path(config.output_dir)
  strategy = distribution.make_strategy(
      config.distribution_strategy, config.tpu, config.num_replicas)
  replicas = strategy.num_replicas_in_sync
  if config.do_train and config.train_batch_size % replicas:
    raise InputError(f"train_batch_size={config.train_batch_size}: cannot be "
                     f"split over {replicas} replicas")
  with contextlib.ExitStack() as stack:
    if distribution.has_workers(strategy):
      stack.enter_context(distribution.lost_workers())
      stack.enter_context(signals_act())
    if not distribution.is_chief(strategy):
      silent = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
      stack.enter_context(contextlib.redirect_stdout(silent))
    stack.enter_context(strategy.scope())
    locks = stack.enter_context(contextlib.ExitStack())
    is_new = not os.path.exists(output_dir)
    distribution.on_chief(
        strategy, lambda: is_new or locks.enter_context(
            output_dir_of("run", output_dir)))
    return _resume(config, output_dir, strategy, locks if is_new else None)


def _resume(config: RunConfig, output_dir: pathlib.Path,
            strategy: tf.distribute.Strategy,
            locks: contextlib.ExitStack | None) -> dict[str, Any]:
  """Finds out what is not yet done, and does it.

  Args:
    config: the run.
    output_dir: its folder.
    strategy: in whose scope this is.
    locks: gets the lock of a folder that is not yet there; None: it is locked.
  """
  plan = plan_run(config)
  results = (_Run(plan.config, output_dir, plan.results, strategy, locks)
             .do(plan) if plan.todo else plan.results)
  if not config.keep_checkpoints and distribution.is_chief(strategy):
    shutil.rmtree(output_dir / CHECKPOINTS_NAME, ignore_errors=True)
  if plan.todo:
    say(summary_of(results, output_dir))
  else:
    say_finished(results, output_dir)
  return results


def _source(model: TaskModel) -> str:
  """Returns where the model's encoder is from."""
  assert model.encoder.origin is not None  # it was loaded
  return model.encoder.origin.source


def _max_length(text: TextLayer) -> int | None:
  """Returns the longest sequence in wordpieces; None where nothing is cut."""
  return text.max_length if text.has_wordpieces else None


def _check_splits(task: Dataset, text: TextLayer, todo: Sequence[str]) -> None:
  """Refuses splits that are missing, empty or too long for what is to be done.

  Raises:
    InputError: there is one.
  """
  if "train" in todo:
    for name in ("train", *trainer.VALIDATION_SPLITS):
      if name == "train" or name in task.splits:
        task.split(name)
  if "evaluate" in todo:
    labelled_splits(task)
  if "predict" in todo:
    test_splits(task)
  for split in task.splits.values():
    split.check(text)


class _Run:
  """The state of one call of `run`."""

  def __init__(self, config: RunConfig, output_dir: pathlib.Path,
               results: dict[str, Any], strategy: tf.distribute.Strategy,
               locks: contextlib.ExitStack | None):
    self._strategy = strategy
    self._locks = locks
    self._config = config
    self._output_dir = output_dir
    self._results = results
    self._seconds = results.get("seconds", {})
    self._predicted: dict[str, tuple[Encoded, Sequence[np.ndarray]]] = {}

  def do(self, plan: Plan) -> dict[str, Any]:
    """Loads what is needed, does the steps, writes results.json."""
    config = self._config
    todo, path, info = plan.todo, plan.path, plan.info
    started = time.perf_counter()
    tf_keras.utils.set_random_seed(config.seed)
    task = load_task(config, info)
    data = run_data.digests_of(task, config.vocab_file)
    if not config.overwrite:
      run_data.check_same_data(data, self._output_dir, "train" in todo)
    model = load_task_model(config, task, path, info)
    text = model.encoder.text_processor(
        config.max_seq_length or (info and info.max_length)
        or config.default_max_seq_length)
    task = config.fitted(task, text.max_length, info.span if info else None)
    _check_splits(task, text, todo)
    weights = None
    if "train" in todo:
      model.task = TaskDescription(
          task.name, task.labels, _max_length(text),
          task.split("train").pairs, task.span, label_type=task.label_type)
      weights = trainer.weights_of_labels(config, task)
      trainer.check_can_choose(config, task)
      task = dataclasses.replace(task, notes=(
          *task.notes, *doubts.of_splits(task, config.eval_each_epoch)))
      if config.prefix_cache:
        prefix_cache.check(model.encoder, config.prefix_cache_dir)
    # Nothing is wrong with what was given: the folder is this run's now.
    distribution.on_chief(self._strategy, lambda: self._claim(data))
    self._seconds.setdefault("load", time.perf_counter() - started)
    self._describe(task, model, text, data)
    self._say_start(task, model, weights)
    if "train" in todo:
      self._train(model, task, text)
    if "evaluate" in todo:
      self._evaluate(model, task, text)
    if "train" in todo and config.save_adapter and not config.text_network:
      adapter = self._output_dir / "adapter"
      distribution.on_chief(
          self._strategy, lambda: adapter_file.save_adapter(
              model, adapter, metrics=self._results["metrics"]))
      info = read_info(adapter)
    if info is not None:
      self._results["weights_sha256"] = info.weights_sha256
    if "predict" in todo:
      self._predict(model, task, text)
    # Not this call's time alone: a run may have been stopped and resumed.
    self._seconds["total"] = sum(
        self._seconds.get(part, 0.0)
        for part in ("load", "prefix_cache", "train", "evaluate"))
    distribution.on_chief(self._strategy, self._write_results)
    return self._results

  def _say_start(self, task: Dataset, model: TaskModel,
                 weights: Mapping[str, float] | None) -> None:
    """Says what is trained, on what, and which flags are without effect."""
    config = self._config
    for note in task.notes:
      say(f"data: {note}")
    for note in distribution.notes(
        self._strategy, config.distribution_strategy, config.num_replicas):
      say(note)
    made_for = model.encoder.pooling
    if config.pooling == "pooler" and made_for != "pooler":
      say(f"--pooling=pooler: {_source(model)} was made for "
          f"--pooling={made_for}, which is taken without the flag")
    if unread := unread_method_flags(config):
      why = (f"--tuning={config.what_trains} has no adapters"
             if config.method_config() is None
             else f"--method={config.method}")
      say(f"{why}: without effect are {', '.join(unread)}")
    if weights:
      say("class weights: " + listed(
          [f"{label} {weight:.4g}" for label, weight in weights.items()]))
    say(str(model.summary_of_tuning()))

  def _claim(self, data: run_data.Digests) -> None:
    """Makes the folder this run's.

    Args:
      data: what the run is made of.
    """
    flags = self._output_dir / FLAGS_NAME
    with writing(f"output_dir {self._output_dir}"):
      if self._locks is not None:
        self._output_dir.mkdir(parents=True, exist_ok=True)
        self._locks.enter_context(output_dir_of("run", self._output_dir))
        if flags.exists():
          raise InputError(f"output_dir {self._output_dir}: another run has "
                           "been at work in it meanwhile: call this one again")
      if self._config.overwrite:
        remove_run(self._output_dir)
      if self._config.do_train or not flags.exists():
        write_file(flags, "\n".join(self._config.flag_lines()) + "\n")
      run_data.add_data(data, self._output_dir)

  def _write_results(self) -> None:
    path = self._output_dir / RESULTS_NAME
    with writing(path):
      write_file(
          path, json.dumps(self._results, indent=2, allow_nan=False) + "\n")

  def _describe(
      self, task: Dataset, model: TaskModel, text: TextLayer,
      digests: run_data.Digests) -> None:
    summary = model.summary_of_tuning()
    network = self._config.network()
    data = self._results.get("data", {})
    self._results.update({
        "task": task.name,
        "tuning": summary.tuning,
        "metrics": self._results.get("metrics", {}),
        "evaluated_rows": self._results.get("evaluated_rows", {}),
        "steps": self._results.get("steps", 0),
        "seconds": self._seconds,
        "examples_per_second": self._results.get("examples_per_second"),
        "parameters": summary.to_dict(),
        # What is evaluated may have come after the training.
        "data": {
            "splits": {name: len(split)
                       for name, split in task.splits.items()}
                      | data.get("splits", {}),
            "notes": list(dict.fromkeys(
                [*data.get("notes", ()), *task.notes])),
            "files": {**digests, **data.get("files", {})}},
        "hyperparameters": self._results.get("hyperparameters", {
            "encoder": _source(model),
            "pooling": model.head.pooling,
            "adapter": (model.encoder.method
                        and model.encoder.method.to_dict()),
            "network": network and network.to_dict(),
            "max_seq_length": _max_length(text),
        }),
        "versions": self._results.get(
            "versions", library_versions()),
        "devices": self._results.get(
            "devices", distribution.devices(self._strategy)),
        "warnings": self._results.get("warnings", []),
    })

  def _train(self, model: TaskModel, task: Dataset, text: TextLayer) -> None:
    progress = trainer.train(
        model, task, text, self._config, self._output_dir, self._say_cut)
    config = trainer.settled(self._config, model, progress.rows)
    batch = min(config.train_batch_size, progress.rows)
    self._results["hyperparameters"].update(
        train_examples=len(task.splits["train"]),
        train_rows=progress.rows,
        replicas=self._strategy.num_replicas_in_sync,
        cached_layers=(
            model.encoder.frozen_prefix if self._config.prefix_cache else 0),
        **{field.name: getattr(config, field.name)
           for field in dataclasses.fields(TrainingConfig)})
    self._results.update({
        "steps": progress.steps,
        "examples_per_second": batch * progress.steps / progress.train_seconds,
        "best_epoch": (None if progress.best_epoch is None
                       else progress.best_epoch + 1),
        "epochs": progress.history,
        "losses": progress.losses,
        "evaluated_rows": progress.evaluated_rows,
        "warnings": progress.warnings,
    })
    if progress.best_epoch is not None:
      self._results["metrics"] = dict(progress.history[progress.best_epoch])
    if self._config.prefix_cache:
      self._seconds["prefix_cache"] = progress.prefix_seconds
    self._seconds.update(
        train=progress.train_seconds, evaluate=progress.evaluate_seconds)

  def _evaluate(self, model: TaskModel, task: Dataset,
                text: TextLayer) -> None:
    started = time.perf_counter()
    # The best epoch's validation is already known from the training.
    for name in labelled_splits(task):
      if name in self._results["metrics"]:
        continue
      encoded, outputs = self._outputs(model, task, name, text)
      self._results["metrics"][name] = evaluate_task(
          task, task.split(name), encoded, outputs)
      self._results["evaluated_rows"][name] = len(outputs)
      if doubt := doubts.of_predictions(
          task, name, encoded, outputs):
        self._results["warnings"].append(doubt)
    self._results["evaluated"] = True
    self._add_to_evaluation(started)

  def _predict(self, model: TaskModel, task: Dataset,
               text: TextLayer) -> None:
    started = time.perf_counter()
    files: dict[str, Any] = {}
    for name in test_splits(task):
      encoded, outputs = self._outputs(model, task, name, text)
      files |= prediction_files(task, name, encoded, outputs)
    distribution.on_chief(
        self._strategy, lambda: self._write_predictions(files))
    self._add_to_evaluation(started)

  def _write_predictions(self, files: Mapping[str, str]) -> None:
    path = self._output_dir / "predictions"
    with writing(path), replaced_folder(path) as folder:
      for name, content in files.items():
        write_file(folder / name, content)

  def _outputs(self, model: TaskModel, task: Dataset, name: str,
               text: TextLayer) -> tuple[Encoded, Sequence[np.ndarray]]:
    """Predicts a split with the finished model, once."""
    if name not in self._predicted:
      encoded = task.split(name).encode(text)
      self._say_cut(name, encoded)
      # Test rows may be more than those that were trained on.
      say(f"{name}: predicting {len(encoded):,} rows")
      self._predicted[name] = encoded, predict(
          model, encoded, self._config)
    return self._predicted[name]

  def _say_cut(self, name: str, encoded: Encoded) -> None:
    """Says how much of a split was cut, once."""
    cut = encoded.cut_note()
    note = f"{name}: {cut}"
    notes = self._results["data"]["notes"]
    if cut and note not in notes:
      notes.append(note)
      say(f"data: {note}")

  def _add_to_evaluation(self, started: float) -> None:
    self._seconds["evaluate"] = (
        self._seconds.get("evaluate", 0.0) + time.perf_counter() - started)
