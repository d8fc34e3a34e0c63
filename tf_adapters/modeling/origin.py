"""Where an encoder's pretrained weights came from."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from tf_adapters.modeling.config import JsonConfig


@dataclasses.dataclass(frozen=True)
class Origin(JsonConfig):
  """Where an encoder's pretrained weights came from, and which they are.

  Attributes:
    source: what was asked for: an alias, a Hub handle or a path.
    fingerprint: sha256 over the weights and the function together; version 0.1
      knows no other.
    digests: canonical name -> `digest` of each pretrained tensor, as it was
      assigned; empty where that was not noted, by version 0.1.
    weights_fingerprint: sha256 over the pretrained tensors alone, the same for
      the same weights from every file format.
    function_fingerprint: sha256 of what the tensors do not tell of the outputs:
      the activation, the layer norms' epsilon and the like. Both are empty
      where version 0.1 has written the origin.
    name: what another library's adapter file called the encoder, a name on the
      Hugging Face Hub; empty where there was none.
  """

  source: str
  fingerprint: str
  digests: Mapping[str, str] = dataclasses.field(
      default_factory=dict, repr=False)
  weights_fingerprint: str = ""
  function_fingerprint: str = ""
  name: str = ""


def digest(array: np.ndarray) -> str:
  """Returns a digest of an array's values, alike for all floating-point types.
  """
  return hashlib.sha256(
      np.ascontiguousarray(array, "<f4").data).hexdigest()[:32]
