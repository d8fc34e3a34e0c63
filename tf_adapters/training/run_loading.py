"""Loads the task and the model of a run, as its configuration says."""

import dataclasses

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.checkpoints.embeddings import (
    load_text_embedding,
    load_word_embedding,
)
from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.sampling import sample
from tf_adapters.errors import InputError, listed
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.modeling.text_encoder import TextEncoder
from tf_adapters.modeling.text_network import TextNetwork
from tf_adapters.modeling.tuning import Tuning
from tf_adapters.problems import find_problem
from tf_adapters.training.metrics import with_best_metric
from tf_adapters.training.run_config import DEFAULT_ENCODER, RunConfig
from tf_adapters.training.run_plan import check_problem
from tf_adapters.training.unread_flags import check_all_read


def load_task(config: RunConfig, info: AdapterInfo | None) -> Dataset:
  """Loads a run's task, with as many examples as it is to train on.

  Args:
    config: the run.
    info: what the adapter file says that is to be evaluated, if there is one.

  Raises:
    InputError: the files are wrong, or the task has no such metric.
  """
  task = config.load_task(info.labels or None if info else None)
  most = config.max_train_examples
  if most and "train" in task.splits:
    splits, notes = dict(task.splits), task.notes
    if most > len(splits["train"]):
      notes = (*notes, f"max_train_examples={most}: there are "
               f"{len(splits['train']):,}")
    splits["train"] = sample(splits["train"], most, config.seed)
    task = dataclasses.replace(task, splits=splits, notes=notes)
  if config.best_metric:
    task = with_best_metric(task, config.best_metric)
  return task


def load_task_model(config: RunConfig, task: Dataset, path: str | None,
                    info: AdapterInfo | None) -> TaskModel:
  """Loads the model that a run evaluates, or makes the one that it trains.

  Args:
    config: the run.
    task: its task.
    path: the adapter file to be evaluated; None to train.
    info: what that says.

  Raises:
    InputError: the encoder or the adapter file cannot be read, or a flag has no
      effect on it.
  """
  if path is not None and info is not None:
    return load_trained(config, task, path, info)
  tuning = config.what_trains
  train = task.split("train")
  encoder = _load_encoder(config, train.pairs, config.dtype(tuning))
  model = find_problem(task.problem_type).make_model(
      encoder, task.labels, config.pooling)
  model.adapt(train.labels)
  if config.tune_pooler is not None:  # nothing to a pooling without one
    check_all_read(
        dataclasses.replace(config, pooling=model.head.pooling))
  model.tune(str(tuning))
  return model


def _load_encoder(config: RunConfig, pairs: bool, dtype: str) -> TextEncoder:
  encoder_source = config.encoder or DEFAULT_ENCODER
  network = config.network()
  if network is None:
    return load_encoder(
        encoder_source, config.method_config(), config.vocab_file,
        config.do_lower_case, dtype)
  if config.text_embedding is None:
    embedding = load_word_embedding(
        encoder_source, config.vocab_file, config.do_lower_case)
  else:
    embedding = load_text_embedding(
        config.text_embedding, bool(config.do_lower_case))
  return TextNetwork(embedding, network, pairs, dtype=dtype)


def load_trained(config: RunConfig, task: Dataset, path: str,
                 info: AdapterInfo) -> TaskModel:
  """Loads the model of an adapter file, to be evaluated on a task.

  Args:
    config: says where the encoder is, and how it computes.
    task: the task.
    path: the adapter file.
    info: what it says.

  Raises:
    InputError: it is for other tasks, predicts other labels, cannot be read,
      or was made for another encoder.
  """
  check_problem(task.problem_type, task.name, path, info)
  model = adapter_file.load_adapter(
      path, config.encoder, config.vocab_file,
      config.dtype(Tuning.parse(info.tuning)))
  if model.labels != task.labels:
    raise InputError(
        f"{path}: predicts {listed(model.labels)}, but task {task.name} has "
        f"{listed(task.labels)}")
  return model
