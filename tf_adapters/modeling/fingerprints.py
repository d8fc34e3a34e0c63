"""Fingerprints of encoders: made and compared.

There are two. That of the weights is the same in every file format. That of the
function is of what weights do not tell: TF Hub's BERTs have the tanh
approximation of gelu, and Hugging Face's, of the same weights, the exact one. A
third, of both together, is what version 0.1 had.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.origin import Origin

# As they are called in `Origin` and in adapter files.
WEIGHTS = "weights_fingerprint"
FUNCTION = "function_fingerprint"
BOTH = "fingerprint"
NAMES = (WEIGHTS, FUNCTION, BOTH)


class Fingerprint:
  """The fingerprints of an encoder's pretrained tensors and architecture.

  Fed one tensor at a time, in sorted order of the names, so that the weights
  never have to be in memory together.
  """

  def __init__(self, config: EncoderConfig):
    function = hashlib.sha256(config.function().encode())
    self._function = function.hexdigest()
    self._weights = hashlib.sha256()
    self._both = function

  def add(self, name: str, array: np.ndarray) -> str:
    """Adds a float32 tensor.

    Returns:
      Its `origin.digest`.
    """
    values = np.ascontiguousarray(array, "<f4").data
    head = f"\n{name} {list(array.shape)}\n".encode()
    self._both.update(head)
    self._both.update(values)
    # Of its digest, so that values are not hashed a third time.
    digest = hashlib.sha256(values).hexdigest()
    self._weights.update(head + digest.encode())
    return digest[:32]

  def origin(self, source: str, digests: Mapping[str, str]) -> Origin:
    """Returns the `Origin` of the tensors that were added.

    Args:
      source: what was asked for.
      digests: of the tensors as they were assigned.
    """
    return Origin(source, self._both.hexdigest(), digests,
                  self._weights.hexdigest(), self._function)


def fingerprints(values: Mapping[str, Any]) -> dict[str, str]:
  """Returns the fingerprints that are known of an encoder.

  Args:
    values: `Origin.to_dict()`, or what an adapter file says of its encoder.
  """
  return {name: values[name] for name in NAMES if values.get(name)}


def in_words(values: Mapping[str, Any]) -> dict[str, str]:
  """As `fingerprints`, by names for people."""
  return {name.replace("_", " "): value
          for name, value in fingerprints(values).items()}


def other_weights(a: Mapping[str, Any],
                  b: Mapping[str, Any]) -> tuple[str, str, str] | None:
  """Finds fingerprints by which two encoders have other weights, or None.

  Where one of them has no fingerprint of its weights alone, the function
  counts too.

  Args:
    a, b: as for `fingerprints`.

  Returns:
    The fingerprint's name, and what it is of a and b.
  """
  for name in (WEIGHTS, BOTH):
    if a.get(name) and b.get(name):
      return None if a[name] == b[name] else (name, a[name], b[name])
  return None


def other_function(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
  """Returns whether two encoders are known to compute another function."""
  return bool(a.get(FUNCTION) and b.get(FUNCTION)
              and a[FUNCTION] != b[FUNCTION])


def functions(a: EncoderConfig, b: EncoderConfig) -> tuple[str, str]:
  """Describes the differences in what two architectures compute.

  Example:
    >>> functions(hub.config, hugging_face.config)
    ('hidden_act gelu_tanh', 'hidden_act gelu')
  """
  both = a.to_dict(), b.to_dict()
  names = [name for name in both[0] if both[0][name] != both[1].get(name)
           and not name.endswith("dropout_prob")]
  if a.family != b.family or not names:
    return a.function(), b.function()
  one, other = (", ".join(f"{name} {values[name]}" for name in names)
                for values in both)
  return one, other
