"""From texts to batches: tokenised once, batched by length, in tf.data.

Order is a pure function of a seed and the epoch, so a run can be taken up again
at any batch. Batches hold texts of similar length, padded to one of a few
widths, so that little is computed on padding and few shapes occur.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.modeling.text import TextProcessor
from tf_adapters.progress import progress_bar

UNLABELLED = -1  # what stands at tokens without a label

_TOKENIZE_AT_ONCE = 1024
# Batches are cut from this many batches' texts sorted by length: more leaves
# less padding, fewer makes batches more random.
_SORTED_AT_ONCE = 50


class PackedRows:
  """A vector for each wordpiece of each row, one behind the other.

  Args:
    vectors: [wordpieces of all rows, size], in memory or in a mapped file.
    lengths: wordpieces of each row, [rows].

  Example:
    >>> rows = PackedRows(np.zeros([5, 8], np.float32), lengths=[2, 3])
    >>> rows.padded([1, 0], width=4).shape
    TensorShape([2, 4, 8])
  """

  def __init__(self, vectors: np.ndarray, lengths: Sequence[int]):
    self.vectors = vectors
    self._ends = np.cumsum(lengths)
    self._starts = self._ends - lengths

  def __getitem__(self, row: int) -> np.ndarray:
    """Returns a row's vectors, [length, size]: what is written there is kept.
    """
    return self.vectors[self._starts[row]:self._ends[row]]

  def padded(self, rows: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Pads some rows with zeros, [rows, width, size]; in tf.data too."""

    def gather(rows: np.ndarray, width: int) -> np.ndarray:
      size = self.vectors.shape[1]
      padded = np.zeros([len(rows), width, size], self.vectors.dtype)
      for place, row in enumerate(rows):
        vectors = self[row]
        padded[place, :len(vectors)] = vectors
      return padded

    padded = tf.numpy_function(
        gather, [rows, width], self.vectors.dtype, stateful=False)
    return tf.ensure_shape(padded, [None, None, self.vectors.shape[1]])


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A split as wordpiece ids, in memory.

  Attributes:
    text: the processor that made it.
    word_ids, type_ids: int32 ragged [rows, (wordpieces)].
    labels: int32 label numbers or float32 scores [rows], zeros and ones [rows,
      labels], spans [rows, 2], or token labels, ragged [rows, (wordpieces)];
      or None.
    prefix_output: of the encoder's frozen layers, for each row: it takes the
      place of the ids in batches. None: batches hold ids.
    cut: how much was longer than `text.max_length` and lost its end: rows; of
      taggers words without a place, of questions answers in no window.
  """

  text: TextProcessor
  word_ids: tf.RaggedTensor
  type_ids: tf.RaggedTensor
  labels: tf.Tensor | tf.RaggedTensor | None
  prefix_output: PackedRows | None = dataclasses.field(
      default=None, kw_only=True)
  cut: int = dataclasses.field(default=0, kw_only=True)

  def cut_note(self) -> str:
    """Says how much was cut, or "" where nothing was."""
    return (f"{self.cut:,} of {len(self):,} texts are longer than "
            f"{self.text.max_length} wordpieces, and cut" if self.cut else "")

  @property
  def lengths(self) -> tf.Tensor:
    """Wordpieces of each row, int64 [rows]."""
    return self.word_ids.row_lengths()

  def inputs(self, rows: tf.Tensor, width: tf.Tensor) -> dict[str, tf.Tensor]:
    """Makes the encoder's inputs of some rows, padded.

    Args:
      rows: their numbers, int64 [batch].
      width: to pad to, int64.

    Returns:
      As `TextProcessor.pad`; where there is a prefix output, "prefix_output"
      [batch, width, hidden_size] and "input_mask" int32 [batch, width].
    """
    if self.prefix_output is None:
      return self.text.pad(tf.gather(self.word_ids, rows),
                           tf.gather(self.type_ids, rows), width)
    return {
        "prefix_output": self.prefix_output.padded(rows, width),
        "input_mask": tf.sequence_mask(
            tf.gather(self.lengths, rows), width, tf.int32)}

  def __len__(self) -> int:
    return int(self.word_ids.nrows())


def encode(text: TextProcessor, first: Sequence[str],
           second: Sequence[str] | None, labels: np.ndarray | None) -> Encoded:
  """Tokenises a whole split.

  Args:
    text: the encoder's text processor.
    first: the texts.
    second: the other text of each pair, or None.
    labels: label numbers or scores, or None.
  """
  columns = (first,) if second is None else (first, second)
  packed = []
  with progress_bar("tokenising", len(first), leave=False) as bar:
    for texts in zip(*(
        chunks(column, _TOKENIZE_AT_ONCE) for column in columns)):
      packed.append(text.pack(*map(list, texts)))
      bar.update(len(texts[0]))
  word_ids, type_ids = (tf.concat(parts, axis=0) for parts in zip(*packed))
  # What was cut has all the wordpieces that it may have.
  full = np.flatnonzero(word_ids.row_lengths() == text.max_length)
  cut = sum([int(tf.math.count_nonzero(text.is_cut(
      *([column[row] for row in rows] for column in columns))))
             for rows in chunks(full, _TOKENIZE_AT_ONCE)])
  return Encoded(text, word_ids, type_ids,
                 None if labels is None else tf.convert_to_tensor(labels),
                 cut=cut)


# Widths that batches are padded to: the longer, the coarser. Each that occurs
# costs a training half a second, for kernels of its shapes.
WIDTHS = (*range(8, 64, 8), *range(64, 128, 16), *range(128, 513, 64),
          640, 768, 1024, 1536, 2048, 3072, 4096, 6144)
# The same where a width costs nothing at first, and padding alone takes time.
FINE_WIDTHS = (*range(8, 64, 4), *range(64, 128, 8), *range(128, 256, 16),
               *range(256, 513, 32), *WIDTHS[WIDTHS.index(640):])
# The same where each width costs a compilation of the whole step.
FEW_WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


def widths_up_to(
    max_length: int, widths: Sequence[int] = WIDTHS) -> tuple[int, ...]:
  """Returns the widths, in order, of sequences of so many wordpieces at most.
  """
  below = {width for width in widths if width < max_length}
  return (*sorted(below), max_length)


def width_for(length: int, widths: Sequence[int]) -> int:
  """Returns the smallest of the widths that has room for a row."""
  return min(width for width in widths if width >= length)


def chunks(values: Sequence[Any] | np.ndarray, size: int) -> Iterator[Any]:
  """Yields stretches of at most `size` values."""
  for start in range(0, len(values), size):
    yield values[start:start + size]


def batches_per_epoch(rows: int, batch_size: int) -> int:
  """Counts the full batches in `rows`: one where a split is smaller than that.
  """
  return max(1, rows // batch_size)


def training_batches(
    encoded: Encoded, batch_size: int, seed: int,
    epochs: range | None = None, skip: int = 0,
    widths: Sequence[int] = WIDTHS) -> tf.data.Dataset:
  """Makes shuffled batches `(inputs, labels)` of similar lengths.

  The rows that do not fill the last batch of an epoch are left out; the next
  epoch, in another order, has them.

  Args:
    encoded: the training split, with labels.
    batch_size: rows per batch.
    seed: of the order.
    epochs: which epochs to yield one after the other. None: one epoch, and
      another one each time that the dataset is iterated over.
    skip: batches to leave out at the start.
    widths: that batches are padded to, see `widths_up_to`.
  """
  count = batches_per_epoch(len(encoded), batch_size)
  lengths = encoded.lengths
  rows = min(batch_size, len(encoded))

  # AutoGraph takes longer than the operations, and finds nothing to convert.
  @tf.autograph.experimental.do_not_convert
  def batch_rows(epoch: tf.Tensor) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(_shuffled_by_length(
        lengths, rows, count, tf.stack([seed, tf.cast(epoch, tf.int32)])))

  if epochs is None:
    dataset = tf.data.Dataset.random(
        seed=seed, rerandomize_each_iteration=True).take(1)
    total = count
  else:
    dataset = tf.data.Dataset.range(epochs.start, epochs.stop)
    total = count * len(epochs)
  dataset = dataset.flat_map(batch_rows)
  dataset = dataset.skip(skip).apply(
      tf.data.experimental.assert_cardinality(total - skip))
  return _gathered(dataset, encoded, widths)


def evaluation_batches(
    encoded: Encoded, batch_size: int, widths: Sequence[int] = WIDTHS,
    multiple_of: int = 1) -> tuple[tf.data.Dataset, np.ndarray]:
  """Makes batches of every row exactly once, shortest first.

  Args:
    encoded: the rows.
    batch_size: rows per batch, a multiple of `multiple_of`.
    widths: that batches are padded to, see `widths_up_to`.
    multiple_of: what the rows of the last batch are filled up to a multiple of,
      with copies of the last row.

  Returns:
    A dataset of `(inputs, labels)`, or of inputs alone where there are no
    labels, and the row number of each of its examples. Copies come last and
    have none: drop what a model makes of them.
  """
  order = np.argsort(encoded.lengths.numpy(), kind="stable")
  return _gathered(
      _cut(order, batch_size, multiple_of), encoded, widths), order


def batches_by_width(
    encoded: Encoded, batch_size: int, widths: Sequence[int] = WIDTHS,
    multiple_of: int = 1) -> Iterator[tuple[tf.data.Dataset, np.ndarray]]:
  """As `evaluation_batches`, with a dataset for each width.

  Outputs of a model for each token then have one shape in a dataset.
  """
  lengths = encoded.lengths.numpy()
  order = np.argsort(lengths, kind="stable")
  lengths = lengths[order]
  before = 0
  for width in widths_up_to(encoded.text.max_length, widths):
    after = int(np.searchsorted(lengths, width, side="right"))
    if after > before:
      rows = order[before:after]
      yield _gathered(
          _cut(rows, batch_size, multiple_of), encoded, [width]), rows
    before = after


def _cut(rows: np.ndarray, batch_size: int,
         multiple_of: int) -> tf.data.Dataset:
  """Returns the row numbers of each batch, the last one filled up."""
  rows = np.pad(rows, [0, -len(rows) % multiple_of], mode="edge")
  full = len(rows) // batch_size * batch_size
  # Not by `batch`: strategies would cut the last batch as if it were a full
  # one, and leave nothing of it to some replicas.
  parts = [tf.data.Dataset.from_tensor_slices(part.reshape([-1, size]))
           for part, size in ((rows[:full], batch_size),
                              (rows[full:], len(rows) - full)) if len(part)]
  return parts[0] if len(parts) == 1 else parts[0].concatenate(parts[1])


def _shuffled_by_length(lengths: tf.Tensor, batch_size: int, count: int,
                        seed: tf.Tensor) -> tf.Tensor:
  """Returns the row numbers of each batch, int64 [count, batch_size].

  A random order, sorted by length within stretches of `_SORTED_AT_ONCE`
  batches, cut into batches, the batches shuffled.
  """
  order = tf.random.experimental.stateless_shuffle(
      tf.range(tf.size(lengths, tf.int64)), seed=seed)
  order = order[:count * batch_size]
  stretch = tf.range(tf.size(order, tf.int64)) // (
      _SORTED_AT_ONCE * batch_size)
  longest = tf.reduce_max(lengths) + 1
  order = tf.gather(order, tf.argsort(
      stretch * longest + tf.gather(lengths, order), stable=True))
  return tf.random.experimental.stateless_shuffle(
      tf.reshape(order, [count, batch_size]), seed=seed + 1)


def _gathered(dataset: tf.data.Dataset, encoded: Encoded,
              widths: Sequence[int]) -> tf.data.Dataset:
  """Replaces row numbers by padded inputs, and labels where there are any."""
  widths = tf.constant(
      widths_up_to(encoded.text.max_length, widths), tf.int64)
  lengths = encoded.lengths

  @tf.autograph.experimental.do_not_convert
  def gather(rows: tf.Tensor) -> Any:
    longest = tf.reduce_max(tf.gather(lengths, rows))
    width = widths[tf.searchsorted(widths, [longest])[0]]
    inputs = encoded.inputs(rows, width)
    if encoded.labels is None:
      return inputs
    labels = tf.gather(encoded.labels, rows)
    if isinstance(labels, tf.RaggedTensor):
      labels = labels.to_tensor(
          UNLABELLED, shape=tf.stack([tf.constant(-1, tf.int64), width]))
    return inputs, labels

  # Several workers each take their part of every batch.
  options = tf.data.Options()
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.DATA)
  return dataset.map(
      gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True,
  ).prefetch(tf.data.AUTOTUNE).with_options(options)
