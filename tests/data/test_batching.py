import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

import tf_adapters as ta
from tests.conftest import TOKENS
from tf_adapters.data import batching
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary

TEXT = ta.TextProcessor(WordpieceVocabulary(TOKENS, lower_case=True), 24)


def encoded(lengths):
  """Rows of so many words, whose label is their number."""
  return batching.encode(
      TEXT, [" ".join("a" * n) for n in lengths], None,
      np.arange(len(lengths), dtype=np.int32))


def rows_of(dataset):
  return [labels.tolist() for _, labels in dataset.as_numpy_iterator()]


LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=70)


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 40))
def test_evaluation_has_every_row_once(lengths, batch_size):
  dataset, order = batching.evaluation_batches(encoded(lengths), batch_size)
  rows = sum(rows_of(dataset), [])
  assert sorted(rows) == list(range(len(lengths)))
  assert rows == order.tolist()


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, replicas=st.integers(1, 5), each=st.integers(1, 9),
       full=st.booleans())
def test_the_last_batch_is_filled_for_replicas(lengths, replicas, each, full):
  data, size = encoded(lengths), replicas * each
  multiple = size if full else replicas
  whole = [batching.evaluation_batches(data, size, multiple_of=multiple)]
  for parts in (whole, batching.batches_by_width(
      data, size, multiple_of=multiple)):
    seen = []
    for dataset, order in parts:
      batches = rows_of(dataset)
      assert {len(batch) for batch in batches[:-1]} <= {size}
      assert len(batches[-1]) % multiple == 0
      rows = sum(batches, [])
      assert rows[:len(order)] == order.tolist()
      assert set(rows[len(order):]) <= {order[-1]}
      assert len(rows) - len(order) < multiple
      seen += order.tolist()
    assert sorted(seen) == list(range(len(lengths)))


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 40))
def test_training_epochs_are_full_batches_of_different_rows(
    lengths, batch_size):
  dataset = batching.training_batches(
      encoded(lengths), batch_size, seed=1, epochs=range(2))
  count = batching.batches_per_epoch(len(lengths), batch_size)
  batches = rows_of(dataset)
  assert len(batches) == int(dataset.cardinality()) == 2 * count
  assert {len(b) for b in batches} == {min(batch_size, len(lengths))}
  for epoch in (batches[:count], batches[count:]):
    rows = sum(epoch, [])
    assert len(set(rows)) == len(rows)


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 40),
       dtype=st.sampled_from([np.float32, tf.bfloat16.as_numpy_dtype]))
def test_rows_of_a_prefix_come_back_whole(lengths, batch_size, dtype):
  data = encoded(lengths)
  sizes = data.lengths.numpy()
  rows = batching.PackedRows(np.zeros([sizes.sum(), 3], dtype), sizes)
  rng = np.random.default_rng(0)
  expected = [rng.normal(size=[size, 3]).astype(dtype) for size in sizes]
  for row in rng.permutation(len(sizes)):
    rows[row][:] = expected[row]
  cached = dataclasses.replace(data, prefix_output=rows)
  for make in (
      lambda split: batching.evaluation_batches(split, batch_size)[0],
      lambda split: batching.training_batches(split, batch_size, 5, range(2))):
    for (plain, labels), (inputs, same) in zip(
        make(data), make(cached), strict=True):
      assert inputs.keys() == {"prefix_output", "input_mask"}
      np.testing.assert_array_equal(labels, same)
      np.testing.assert_array_equal(plain["input_mask"], inputs["input_mask"])
      for row, vectors in zip(labels.numpy(), inputs["prefix_output"].numpy()):
        assert vectors.dtype == dtype
        np.testing.assert_array_equal(vectors[:sizes[row]], expected[row])
        assert not vectors[sizes[row]:].any()


def test_epochs_differ_and_seeds_decide():
  data = encoded(list(range(20)) * 3)

  def order(seed, epochs):
    return rows_of(batching.training_batches(data, 4, seed, epochs))

  assert order(1, range(1)) == order(1, range(1))
  assert order(1, range(1)) != order(1, range(1, 2))
  assert order(1, range(1)) != order(2, range(1))


def test_a_run_can_be_taken_up_at_any_batch():
  data = encoded(list(range(20)) * 3)
  whole = rows_of(batching.training_batches(data, 4, 3, range(3)))
  for done in (1, 14, 16, 37):
    epoch, skip = divmod(done, 15)
    rest = rows_of(batching.training_batches(
        data, 4, 3, range(epoch, 3), skip=skip))
    assert rest == whole[done:]


def test_iterating_again_is_another_epoch():
  dataset = batching.training_batches(encoded(range(20)), 4, seed=5)
  first, second = rows_of(dataset), rows_of(dataset)
  assert first != second
  assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(20))
  again = batching.training_batches(encoded(range(20)), 4, seed=5)
  assert rows_of(again) == first


def test_batches_are_of_similar_lengths():
  rng = np.random.default_rng(0)
  data = encoded(rng.integers(0, 22, 400))
  lengths = data.lengths.numpy()
  cells = 0
  for inputs, labels in batching.training_batches(
      data, 8, 0, range(1), widths=range(1, 25)):
    width = inputs["input_mask"].shape[1]
    assert lengths[labels].max() <= width
    cells += width * len(labels)
  assert cells < 1.1 * lengths.sum()


def test_pads_to_few_widths():
  widths = batching.widths_up_to(128)
  assert widths[-1] == 128
  assert list(widths) == sorted(set(widths))
  assert len(widths) <= 12
  fine = batching.widths_up_to(8192, batching.FINE_WIDTHS)
  assert list(fine) == sorted(set(fine)) and set(batching.WIDTHS) <= set(fine)
  assert batching.width_for(17, fine) == 20
  assert batching.widths_up_to(50)[-1] == 50
  assert batching.widths_up_to(6) == (6,)
  assert batching.widths_up_to(40, (64, 32, 40, 8)) == (8, 32, 40)
  data = encoded([1, 2, 20, 21])
  dataset, _ = batching.evaluation_batches(data, 2, widths=(10, 24))
  assert [x["input_mask"].shape[1] for x, _ in dataset] == [10, 24]


def test_inputs_are_those_of_the_text_processor():
  first, second = ["the film", "good", "he said so"], ["is", "", "bad !"]
  data = batching.encode(TEXT, first, second, None)
  dataset, order = batching.evaluation_batches(data, 3, widths=(24,))
  expected = TEXT([first[i] for i in order], [second[i] for i in order], 24)
  inputs = next(iter(dataset))
  assert inputs.keys() == expected.keys()
  for name in inputs:
    np.testing.assert_array_equal(inputs[name], expected[name])


def test_demo_task():
  try:
    task = ta.load_task("demo")
  except ta.InputError as error:
    pytest.skip(str(error))
  assert {n: len(s) for n, s in task.splits.items()} == {
      "train": 33243, "validation": 2000, "test": 2000}
  texts = [set(split.first) for split in task.splits.values()]
  assert not texts[0] & texts[1] and not texts[1] & texts[2]
  assert task.labels == ("negative", "neutral", "positive")
  assert {n for s in task.splits.values() for n in s.labels} == {0, 1, 2}


def test_texts_that_are_cut_are_counted():
  """24 wordpieces with the special ones: 22 of a text, 21 of a pair."""
  assert encoded([21, 22, 23, 30]).cut == 2
  assert encoded([21, 22, 23, 30]).cut_note() == (
      "2 of 4 texts are longer than 24 wordpieces, and cut")
  assert encoded([21, 22]).cut_note() == ""
  pairs = batching.encode(
      TEXT, ["a " * 11] * 2, ["b " * 10, "b " * 11], None)
  assert pairs.cut == 1
  assert pairs.lengths.numpy().tolist() == [24, 24]
