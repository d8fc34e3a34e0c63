"""The output of an encoder's frozen lowest layers, computed once for each row.

Where nothing trains in the lowest layers and no task owns anything there
(`encoder.frozen_prefix`), what they make of a text is the same in every
epoch, and in every run on the same base. Here it is kept, without padding and
without dropout, and batches start from it: see `batching.Encoded`.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import tempfile
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.errors import InputError
from tf_adapters.files.writing import locked, replaced_file, writing
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.tuning import depth_of
from tf_adapters.progress import progress_bar

# Bytes of a split's rows; more of them go to a file.
MOST_IN_MEMORY = 1 << 30

# A file is a sha256 and the vectors that it is of.
_VECTORS = hashlib.sha256().digest_size


def check(encoder: TransformerEncoder,
          cache_dir: str | os.PathLike[str] | None = None) -> None:
  """Raises InputError where `add_prefix_output` would, as far as can be known.

  Args:
    encoder, cache_dir: as there; the folder is made.
  """
  if not encoder.frozen_prefix:
    raise InputError(
        f"prefix_cache: with tuning {encoder.tuning} no layer below the "
        "trained ones is frozen: adapters in upper layers only "
        "(adapter_layers), top_layers:K or head leave some")
  if cache_dir is not None:
    with _writing(cache_dir):
      os.makedirs(cache_dir, exist_ok=True)
      with contextlib.suppress(BlockingIOError), locked(cache_dir):
        pass  # nobody else is writing: what killed writers left is gone now
      tempfile.TemporaryFile(dir=cache_dir).close()


def add_prefix_output(
    encoded: batching.Encoded, encoder: TransformerEncoder, batch_size: int,
    output_dir: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None) -> batching.Encoded:
  """Computes what the frozen layers make of each row of a split.

  Args:
    encoded: the split.
    encoder: tuned as it will be trained, with a frozen prefix.
    batch_size: rows at once.
    output_dir: where a file without a name lies if the rows take more than
      `MOST_IN_MEMORY` and there is no `cache_dir`; gone with the process.
    cache_dir: folder of files that later runs use again: named by a sha256
      over the rows' ids, the weights and the architecture of the prefix, and
      the type that it is computed in. Several processes can use it at once.

  Returns:
    The split, whose batches have "prefix_output" in the place of ids.

  Raises:
    InputError: the encoder has no frozen prefix, or a file cannot be written.

  Example:
    >>> encoder.tune("top_layers:2")
    >>> encoded = add_prefix_output(
    ...     task.split("train").encode(text), encoder, 64, "runs/mrpc")
  """
  check(encoder, cache_dir)
  lengths = encoded.lengths.numpy()
  array = _Array((int(lengths.sum()), encoder.config.hidden_size),
                 np.dtype(tf.as_dtype(encoder.compute_dtype).as_numpy_dtype))

  def compute(vectors: np.ndarray) -> batching.PackedRows:
    rows = batching.PackedRows(vectors, lengths)
    _compute(rows, encoded, encoder, batch_size)
    return rows

  if cache_dir is not None:
    path = pathlib.Path(cache_dir) / f"{_key(encoded, encoder)}.prefix"
    with _writing(cache_dir), locked(cache_dir, shared=True):
      vectors = array.read(path)
      if vectors is not None:
        rows = batching.PackedRows(vectors, lengths)
      else:
        with replaced_file(path) as file:
          rows = compute(array.mapped(file))
          array.seal(file)
  elif array.nbytes <= MOST_IN_MEMORY:
    rows = compute(np.empty(array.shape, array.dtype))
  else:
    with _writing(output_dir), tempfile.TemporaryFile(
        dir=output_dir) as file:
      rows = compute(array.mapped(file))
  return dataclasses.replace(encoded, prefix_output=rows)


@dataclasses.dataclass(frozen=True)
class _Array:
  """An array of vectors as a file."""

  shape: tuple[int, int]
  dtype: np.dtype

  @property
  def nbytes(self) -> int:
    return math.prod(self.shape) * self.dtype.itemsize

  def mapped(self, file: BinaryIO) -> np.memmap:
    """Makes room for the array in an empty file, to be written to."""
    # Taken from the disk at once: a mapped file that finds it full later would
    # end the process.
    os.posix_fallocate(file.fileno(), 0, _VECTORS + self.nbytes)
    return np.memmap(file, self.dtype, "r+", _VECTORS, self.shape)

  def seal(self, file: Any) -> None:
    """Says in the file that the array is whole."""
    file.seek(_VECTORS)
    digest = hashlib.file_digest(file, "sha256").digest()
    file.seek(0)
    file.write(digest)

  def read(self, path: pathlib.Path) -> np.memmap | None:
    """Reads the array of a file; None where there is none, or not a whole one.
    """
    try:
      with open(path, "rb") as file:
        digest = file.read(_VECTORS)
        if (os.fstat(file.fileno()).st_size != _VECTORS + self.nbytes
            or hashlib.file_digest(file, "sha256").digest() != digest):
          return None
        return np.memmap(file, self.dtype, "r", _VECTORS, self.shape)
    except FileNotFoundError:
      return None


def _compute(rows: batching.PackedRows, encoded: batching.Encoded,
             encoder: TransformerEncoder, batch_size: int) -> None:
  """Fills the rows."""
  dataset, order = batching.evaluation_batches(
      dataclasses.replace(encoded, labels=None), batch_size)
  prefix_output = tf.function(encoder.prefix_output, reduce_retracing=True)
  with progress_bar("frozen layers", len(order)) as bar:
    for inputs, numbers in zip(dataset, batching.chunks(order, batch_size)):
      for number, padded in zip(numbers, prefix_output(inputs).numpy()):
        row = rows[number]
        row[:] = padded[:len(row)]
      bar.update(len(numbers))


def _key(encoded: batching.Encoded, encoder: TransformerEncoder) -> str:
  """Returns a name for all that the vectors depend on."""
  prefix = encoder.frozen_prefix
  digest = hashlib.sha256(json.dumps(
      [encoder.config.to_dict(), prefix, encoder.compute_dtype]).encode())
  for name, variable in encoder.base_variables().items():
    if depth_of(name, encoder.config.num_hidden_layers) < prefix:
      digest.update(name.encode())
      digest.update(variable.numpy().tobytes())
  for tensor in (encoded.word_ids.flat_values, encoded.type_ids.flat_values,
                 encoded.lengths):
    digest.update(tensor.numpy().data)
  return digest.hexdigest()


def _writing(
    folder: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
  return writing(f"prefix cache in {folder}")
