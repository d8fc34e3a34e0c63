"""Where a model runs: tf.distribute strategies, by name, and their workers."""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from official.common import distribute_utils

from tf_adapters.errors import InputError, WorkerLost

STRATEGIES = ("off", "one_device", "mirrored", "multi_worker_mirrored", "tpu")


def make_strategy(
    name: str = "off", tpu: str | None = None,
    num_replicas: int | None = None) -> tf.distribute.Strategy:
  """The strategy in whose scope models have to be made and trained.

  Args:
    name: one of `STRATEGIES`; "off" is the strategy that is in force. The
      workers of "multi_worker_mirrored" are those of the environment variable
      TF_CONFIG, and are waited for; nothing may have been computed before.
    tpu: address or name of the TPU, "local" on a TPU VM.
    num_replicas: on so many devices that share the CPU, for "mirrored" on a
      machine without GPUs. None: a replica on each GPU, or one.

  Raises:
    InputError: there are no such devices, or TF_CONFIG is wrong.

  Example:
    >>> with make_strategy("mirrored", num_replicas=2).scope():
    ...   model = ta.TextClassifier(ta.load_encoder(...), labels)
  """
  if name == "off":
    return tf.distribute.get_strategy()
  if name == "tpu" and tpu is None:
    raise InputError(
        "distribution_strategy=tpu needs tpu: a name, an address or 'local'")
  if num_replicas is not None:
    return tf.distribute.MirroredStrategy(_cpus(num_replicas))
  if name == "multi_worker_mirrored":
    _check_tf_config(os.environ.get("TF_CONFIG"))
  try:
    with _ctrl_c_acts():
      # Not for several workers, who have to agree before they look for devices.
      gpus = (0 if name == "multi_worker_mirrored"
              else len(tf.config.list_logical_devices("GPU")))
      return distribute_utils.get_distribution_strategy(
          name, num_gpus=min(gpus, 1) if name == "one_device" else gpus,
          tpu_address=tpu)
  except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
    raise InputError(
        f"distribution_strategy={name}: {_line(error)}") from None


def _cpus(count: int) -> list[str]:
  """Names of logical devices on the CPU."""
  if tf.config.list_physical_devices("GPU"):
    raise InputError(
        f"num_replicas={count} is for machines without GPUs: where there are "
        "some, mirrored has a replica on each")
  try:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * count)
  except RuntimeError:
    # TensorFlow has started; that is no matter if it was asked for as many.
    if len(tf.config.list_logical_devices("CPU")) != count:
      raise InputError(
          f"num_replicas={count} comes too late: TensorFlow has started its "
          "devices; in a program of your own make the strategy first"
      ) from None
  return [device.name for device in tf.config.list_logical_devices("CPU")]


def _check_tf_config(text: str | None) -> None:
  """Raises InputError where the cluster or this process's task is not said."""
  example = ('\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
             '"task": {"type": "worker", "index": 0}}\'')
  if not text:
    raise InputError(
        "distribution_strategy=multi_worker_mirrored needs the environment "
        f"variable TF_CONFIG, such as {example}")
  try:
    config = json.loads(text)
    cluster, task = config["cluster"], config["task"]
    hosts = cluster[task["type"]]
    fine = (cluster.keys() <= {"chief", "worker"}
            and len(cluster.get("chief", [""])) == 1
            and all(isinstance(host, str) and host.count(":")
                    for hosts in cluster.values() for host in hosts)
            and 0 <= int(task["index"]) < len(hosts))
  except (ValueError, TypeError, LookupError, AttributeError):
    fine = False
  if not fine:
    raise InputError(f"TF_CONFIG={text}: expected workers, at most one chief, "
                     f"and a task that is one of them, such as {example}")


@contextlib.contextmanager
def _ctrl_c_acts() -> Iterator[None]:
  """Ctrl-C ends the process at once: Python would not hear it in TensorFlow."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = signal.signal(signal.SIGINT, signal.SIG_DFL)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, before)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process is the one that writes."""
  return strategy.extended.should_checkpoint


def has_workers(strategy: tf.distribute.Strategy) -> bool:
  """Whether there are replicas that other processes compute."""
  return (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
          and strategy.num_replicas_in_sync
          > len(strategy.extended.worker_devices))


def of_all_workers(strategy: tf.distribute.Strategy, value: int) -> list[int]:
  """The value that each worker has; all have to ask for it, and wait.

  Args:
    strategy: the strategy.
    value: this worker's.
  """
  if not has_workers(strategy):
    return [value]
  values = strategy.experimental_distribute_values_from_function(
      lambda context: tf.constant([value]))
  return strategy.gather(values, axis=0).numpy().tolist()


def on_chief(strategy: tf.distribute.Strategy,
             action: Callable[[], Any]) -> None:
  """Does something in the process that writes; the other workers wait for it.

  Raises:
    InputError: the chief could not do it. In the chief it is its own error.
  """
  error = None
  if is_chief(strategy):
    try:
      action()
    except Exception as caught:  # the others have to know
      error = caught
  failed = any(of_all_workers(strategy, int(error is not None)))
  if error is not None:
    raise error
  if failed:
    raise InputError("the chief worker has ended: it says why")


@contextlib.contextmanager
def lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Raises WorkerLost where the block ends since another worker has gone."""
  try:
    yield
  except tf.errors.OpError as error:
    if not has_workers(strategy):
      raise
    raise WorkerLost(f"a worker was lost ({_line(error)[:200]})") from None


def _line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
