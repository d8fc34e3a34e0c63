"""Checks a run before it starts: its flags, and whether its files are there.

All of it is found out without TensorFlow, which takes seconds to import.
"""

import pathlib
from collections.abc import Iterable

from tf_adapters.adapter_files.info import AdapterInfo, find_encoder_source
from tf_adapters.adapter_files.place import check_place
from tf_adapters.checkpoints.sources import locate
from tf_adapters.data.encodings import AUTO_ENCODING, check_encoding
from tf_adapters.errors import InputError
from tf_adapters.files.reading import check_is_file
from tf_adapters.files.writing import check_output_dir
from tf_adapters.training.cluster import check_cluster
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import DEFAULT_ENCODER, RunConfig
from tf_adapters.training.run_plan import (
    OtherRunError,
    Plan,
    finished_results,
    plan_run,
)
from tf_adapters.training.training_config import check_best_metric
from tf_adapters.training.unread_flags import check_all_read, is_per_token

# Flags of what a training reads.
_INPUTS = ("task_name", "data_dir", "data", "train_file", "predict_file",
           "encoder",
           "vocab_file", "text_embedding", "text_column", "text_pair_column",
           "label_column", "problem_type", "encoding")


def check_start(config: RunConfig) -> Plan:
  """Refuses what cannot be done, as far as it is known without TensorFlow.

  Returns:
    What is to be done.

  Raises:
    InputError: as `check` and `plan_run`; or output_dir cannot be written, or
      something that is to be read is not there.
  """
  check(config)
  check_output_dir(config.output_dir)
  try:
    plan = plan_run(config)
  except OtherRunError:
    # That flags are wrong matters more than that those of a run differ.
    config.check_data()
    if config.encoder is not None:
      check_encoder(config, None, None)
    raise
  if plan.todo:
    config.check_data()
    check_encoder(config, plan.path, plan.info)
    if "train" in plan.todo and config.save_adapter and not config.overwrite:
      check_place(pathlib.Path(config.output_dir, "adapter"))
  return plan


def check_inputs(configs: Iterable[RunConfig]) -> None:
  """Refuses trainings whose data or encoder is not there; looks for each once.

  Raises:
    InputError: something is not there that a run needs which is not finished.
  """
  different = {tuple(getattr(config, name, None) for name in _INPUTS): config
               for config in configs}
  for config in different.values():
    if finished_results(config) is None:
      config.check_data()
      check_encoder(config, None, None)


def check_encoder(config: RunConfig, path: str | None,
                  info: AdapterInfo | None) -> None:
  """Refuses an encoder, or a vocabulary, that is not there; reads neither.

  Args:
    config: the run.
    path, info: the adapter file to load, and what it says; None to train.

  Raises:
    InputError: there is none of that name.
  """
  if config.text_embedding is not None:
    locate(config.text_embedding, "text embedding")
    return
  encoder = config.encoder
  if encoder is None:
    encoder = (DEFAULT_ENCODER if info is None
               else find_encoder_source(path or "", info))
  locate(encoder)
  if config.vocab_file is not None:
    check_is_file(config.vocab_file)


def check(config: RunConfig) -> None:
  """Refuses what no run can be, before anything is read.

  Raises:
    InputError: nothing is to be done, flags contradict each other, or one has
      no effect.
  """
  if not (config.do_train or config.do_eval or config.do_predict):
    raise InputError(
        "nothing to do: give at least one of do_train, do_eval, do_predict")
  if config.do_train and config.load_adapter:
    raise InputError(
        "load_adapter is for do_eval and do_predict: with do_train the "
        "adapters start anew")
  if not config.output_dir:
    raise InputError("output_dir must not be empty")
  if config.overwrite and config.distribution_strategy == (
      "multi_worker_mirrored"):
    raise InputError(
        "--overwrite is not for several workers, since one of them may have to "
        "start again: remove output_dir instead")
  check_all_read(config)
  if not (isinstance(config, OwnRunConfig)
          and config.encoding == AUTO_ENCODING):
    check_encoding(config.encoding)
  if config.distribution_strategy == "tpu" and config.tpu is None:
    raise InputError(
        "distribution_strategy=tpu needs --tpu: a name, an address or 'local'")
  if config.distribution_strategy == "multi_worker_mirrored":
    check_cluster()
  if config.do_train and config.train_batch_size % (config.num_replicas or 1):
    raise InputError(
        f"train_batch_size={config.train_batch_size}: cannot be split over "
        f"num_replicas={config.num_replicas}: give a multiple of it")
  if config.known_problem and config.best_metric:
    check_best_metric(config.best_metric, config.known_problem)
  if config.text_network:
    _check_text_network(config)


def _check_text_network(config: RunConfig) -> None:
  if is_per_token(config):
    raise InputError(
        "text_network has one vector for each text: it is for classification "
        f"and regression, not for task {config.task_name}, of "
        f"type {config.known_problem}")
  if not config.do_train:
    raise InputError(
        "text_network leaves no adapter file to go on with: give do_train, too")
  if config.text_embedding and config.distribution_strategy == "tpu":
    raise InputError("text_embedding reads strings, which no TPU can: leave "
                     "distribution_strategy=tpu out")
