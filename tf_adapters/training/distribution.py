"""Strategies of tf.distribute by name, and their workers."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from official.common import distribute_utils

from tf_adapters.errors import InputError, WorkerLost, first_line
from tf_adapters.training.cluster import check_cluster
from tf_adapters.training.interruption import signals_act

# What the driver of NVIDIA's GPUs makes, whatever TensorFlow knows of it.
_NVIDIA = ("/dev/nvidia0", "/proc/driver/nvidia/version")

# What an operation on all workers ends with where one has gone, or come anew.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError,
         tf.errors.CancelledError, tf.errors.DeadlineExceededError,
         tf.errors.FailedPreconditionError)


def make_strategy(
    name: str = "off", tpu: str | None = None,
    num_replicas: int | None = None) -> tf.distribute.Strategy:
  """Makes the strategy in whose scope models have to be made and trained.

  Args:
    name: one of `training_config.STRATEGIES`; "off" is the strategy that is in
      force. The workers of "multi_worker_mirrored" are those of the environment
      variable TF_CONFIG, and are waited for; nothing may have been computed
      before.
    tpu: address or name of the TPU, "local" on a TPU VM.
    num_replicas: on so many devices that share the CPU, for "mirrored" on a
      machine without GPUs. None: a replica on each GPU, or one.

  Raises:
    InputError: there are no such devices, or TF_CONFIG is wrong.
    WorkerLost: another worker is gone, or not yet gone for this one to take its
      place.

  Example:
    >>> with make_strategy("mirrored", num_replicas=2).scope():
    ...   model = ta.TextClassifier(ta.load_encoder(...), labels)
  """
  if num_replicas is not None:
    if name != "mirrored":
      raise InputError(f"num_replicas={num_replicas} is for mirrored alone")
    return tf.distribute.MirroredStrategy(_cpus(num_replicas))
  if name == "off":
    return tf.distribute.get_strategy()
  if name == "tpu" and tpu is None:
    raise InputError(
        "distribution_strategy=tpu needs tpu: a name, an address or 'local'")
  try:
    if name == "multi_worker_mirrored":
      check_cluster()
      with lost_workers(), signals_act():
        return distribute_utils.get_distribution_strategy(name)
    gpus = len(tf.config.list_logical_devices("GPU"))
    return distribute_utils.get_distribution_strategy(
        name, num_gpus=min(gpus, 1) if name == "one_device" else gpus,
        tpu_address=tpu)
  except InputError:
    raise
  except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
    raise InputError(
        f"distribution_strategy={name}: {first_line(error)}") from None


def _cpus(count: int) -> list[str]:
  """Names logical devices on the CPU."""
  if tf.config.list_physical_devices("GPU"):
    raise InputError(
        f"num_replicas={count} is for machines without GPUs: leave it out, and "
        "mirrored has a replica on each GPU")
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


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Returns whether this process is the one that writes."""
  return strategy.extended.should_checkpoint


def devices(strategy: tf.distribute.Strategy) -> list[str]:
  """Lists the devices of this process: "CPU:0", "GPU:0 (Tesla T4)"."""
  if tf.distribute.has_strategy():
    names = strategy.extended.worker_devices
  else:
    found = tf.config.list_logical_devices
    names = [(found("GPU") or found("CPU"))[0].name]
  models = {
      gpu.name.removeprefix("/physical_device:"):
          tf.config.experimental.get_device_details(gpu).get("device_name")
      for gpu in tf.config.list_physical_devices("GPU")}
  short = [name.rpartition("device:")[2] for name in names]
  return [f"{name} ({models[name]})" if models.get(name) else name
          for name in short]


def notes(strategy: tf.distribute.Strategy, name: str,
          num_replicas: int | None) -> list[str]:
  """Says what computes elsewhere than its user may think.

  Args:
    strategy, name, num_replicas: what `make_strategy` made, and of what.
  """
  gpus = len(tf.config.list_physical_devices("GPU"))
  if gpus:
    return [f"distribution_strategy={name} computes on one of {gpus} GPUs: "
            "mirrored has a replica on each"] if gpus > 1 and (
                name in ("off", "one_device")) else []
  found = []
  if name not in ("off", "tpu") and num_replicas is None:
    count = len(strategy.extended.worker_devices)
    found.append(f"distribution_strategy={name}: no GPU was found, so "
                 f"{'a replica computes' if count == 1 else 'replicas compute'}"
                 " on the CPU")
  if name != "tpu" and any(map(os.path.exists, _NVIDIA)):
    found.append("this machine has a GPU that TensorFlow cannot use: pip "
                 "install 'tensorflow[and-cuda]==2.20.*'")
  return found


def has_workers(strategy: tf.distribute.Strategy) -> bool:
  """Returns whether there are replicas that other processes compute."""
  return (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
          and strategy.num_replicas_in_sync
          > len(strategy.extended.worker_devices))


def any_worker(strategy: tf.distribute.Strategy, here: bool) -> bool:
  """Returns whether a thing is so in any worker; each asks, and waits for all.

  Args:
    strategy: the strategy.
    here: whether it is so in this one.
  """
  if not has_workers(strategy):
    return here
  values = strategy.experimental_distribute_values_from_function(
      lambda context: tf.constant(int(here)))
  return bool(_total(strategy, values))


@tf.function
def _total(strategy: tf.distribute.Strategy,
           values: tf.distribute.DistributedValues) -> tf.Tensor:
  return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)


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
  failed = any_worker(strategy, error is not None)
  if error is not None:
    raise error
  if failed:
    raise InputError("the chief worker has ended: it says why")


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
  """Raises WorkerLost where the block ends since another worker has gone."""
  try:
    yield
  except _LOST as error:
    task = json.loads(os.environ["TF_CONFIG"])["task"]
    names = {f"{job} {number}" for job, number in re.findall(
        r"/job:(\w+)/replica:\d+/task:(\d+)", str(error))}
    lost = names - {f"{task['type']} {task['index']}"}
    raise WorkerLost(
        f"{' or '.join(sorted(lost)) or 'a worker'} was lost") from None
