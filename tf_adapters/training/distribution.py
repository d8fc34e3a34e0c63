"""Where a model runs: tf.distribute strategies, by name."""

import contextlib

import tensorflow as tf
from official.common import distribute_utils

from tf_adapters.errors import InputError

STRATEGIES = ("off", "one_device", "mirrored", "tpu")


def strategy_scope(
    name: str = "off",
    tpu: str | None = None) -> contextlib.AbstractContextManager:
  """The scope in which models have to be made and trained.

  Args:
    name: one of `STRATEGIES`.
    tpu: address or name of the TPU, "local" on a TPU VM.

  Raises:
    InputError: there is no TPU, or none was named.
  """
  if name == "off":
    return contextlib.nullcontext()
  if name == "tpu" and tpu is None:
    raise InputError(
        "distribution_strategy=tpu needs tpu: a name, an address or 'local'")
  gpus = len(tf.config.list_logical_devices("GPU"))
  try:
    return distribute_utils.get_distribution_strategy(
        name, num_gpus=min(gpus, 1) if name == "one_device" else gpus,
        tpu_address=tpu).scope()
  except (tf.errors.OpError, OSError, ValueError) as error:
    raise InputError(
        f"distribution_strategy={name}: {str(error).splitlines()[0]}"
    ) from None
