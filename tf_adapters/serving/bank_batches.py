"""Computes tokenised rows by a bank's graphs, in batches of similar length."""

import collections
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_adapters.data import batching
from tf_adapters.modeling.shared_layers import SharedLayers
from tf_adapters.modeling.stacked import StackedTasks
from tf_adapters.modeling.stacked_layers import TracedModel
from tf_adapters.serving.bank_encoder import BankEncoder
from tf_adapters.serving.tokenized_rows import TokenizedRow, pad

# A row, one of its sequences, and the model's outputs for it.
Output = tuple[int, int, dict[str, np.ndarray]]


def computed(rows: Sequence[TokenizedRow], batch_size: int, shared: BankEncoder,
             tasks: StackedTasks,
             forward: TracedModel) -> Iterator[list[Output]]:
  """Yields batches of (row, sequence, the model's outputs): shortest first.

  Those for tokens are without padding.

  Args:
    rows: of any of the tasks.
    batch_size: sequences per forward pass.
    shared: the encoder.
    tasks: the tasks.
    forward: the graph.
  """
  sequences = _sequences(rows)
  lengths = np.array([len(rows[number].word_ids[place])
                      for number, place in sequences], np.int64)
  for batch in batching.chunks(np.argsort(lengths, kind="stable"), batch_size):
    filled = [sequences[one] for one in (
        np.resize(batch, batch_size) if shared.jit_compile else batch)]
    yield _by_sequence(
        [sequences[one] for one in batch], rows, forward(
            tasks,
            pad([(rows[number].word_ids[place], rows[number].type_ids[place])
                 for number, place in filled],
                batching.width_for(lengths[batch].max(), shared.widths),
                shared.text),
            tf.constant([rows[number].row.task for number, _ in filled])))


def computed_sharing(rows: Sequence[TokenizedRow], batch_size: int,
                     shared: BankEncoder, tasks: StackedTasks,
                     layers: SharedLayers) -> Iterator[list[Output]]:
  """As `computed`, with what tasks have in common once for equal sequences.

  Args:
    rows, batch_size, shared, tasks: as for `computed`.
    layers: the graphs.
  """
  members: dict[tuple[bytes, bytes], list[tuple[int, int]]] = (
      collections.defaultdict(list))
  for number, place in _sequences(rows):
    row = rows[number]
    members[row.word_ids[place].tobytes(),
            row.type_ids[place].tobytes()].append((number, place))
  inputs = sorted(members.values(), key=lambda same: _length(rows, same[0]))
  for batch in batching.chunks(inputs, batch_size):
    padded = pad(
        [(rows[number].word_ids[place], rows[number].type_ids[place])
         for (number, place), *_ in batch],
        batching.width_for(_length(rows, batch[-1][0]), shared.widths),
        shared.text)
    hidden = layers.below(padded)
    for some in batching.chunks(
        [(one, sequence) for one, same in enumerate(batch)
         for sequence in same], batch_size):
      yield _by_sequence([sequence for _, sequence in some], rows, layers.above(
          tasks, hidden, padded["input_mask"],
          tf.constant([one for one, _ in some]),
          tf.constant([rows[number].row.task for _, (number, _) in some])))


def _sequences(rows: Sequence[TokenizedRow]) -> list[tuple[int, int]]:
  """Lists (row, sequence) of all sequences."""
  return [(number, place) for number, row in enumerate(rows)
          for place in range(len(row.word_ids))]


def _length(rows: Sequence[TokenizedRow], sequence: tuple[int, int]) -> int:
  number, place = sequence
  return len(rows[number].word_ids[place])


def _by_sequence(sequences: Sequence[tuple[int, int]],
                 rows: Sequence[TokenizedRow],
                 outputs: Mapping[str, tf.Tensor]) -> list[Output]:
  """Returns each sequence's outputs of a batch; tokens without padding."""
  arrays = {name: output.numpy() for name, output in outputs.items()}
  return [(*sequence, {
      name: array[place, :_length(rows, sequence)] if name == "tokens"
      else array[place] for name, array in arrays.items()})
          for place, sequence in enumerate(sequences)]
