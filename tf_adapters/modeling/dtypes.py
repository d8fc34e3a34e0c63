"""The types that encoders hold and compute in."""

from collections.abc import Mapping
from typing import Any

import tf_keras

from tf_adapters.errors import InputError
from tf_adapters.modeling.model_inputs import check_not_keras_3

DTYPES = ("float32", "mixed_bfloat16", "bfloat16")


def check_dtype(dtype: Any) -> None:
  """Refuses types that are not offered.

  Losses would have to be scaled for float16, and nothing is measured in
  float64.

  Args:
    dtype: what a Keras layer takes: a name, a type or a policy, or one that
      was serialized; None for Keras' global policy.

  Raises:
    InputError: it is none of `DTYPES`.
  """
  where = "dtype"
  if dtype is None:
    where = "Keras' global policy"
    dtype = tf_keras.mixed_precision.global_policy()
  check_not_keras_3("dtype", dtype)
  if isinstance(dtype, Mapping):
    dtype = dtype.get("config", {}).get("name")
  if isinstance(dtype, type):
    name = dtype.__name__
  else:
    name = getattr(dtype, "name", dtype)
  if name not in DTYPES:
    raise InputError(f"{where} {name!r}: encoders are offered in "
                     f"{', '.join(DTYPES)}")
