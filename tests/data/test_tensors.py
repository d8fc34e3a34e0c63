"""Datasets of tensors and of tf.data; texts that are no texts."""

import datetime
import decimal

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta

pd = pytest.importorskip("pandas")

TEXTS, LABELS = ["the film is good", "bad", "so so"], [1, 0, 1]
MANY = [f"text {row}" for row in range(12)]
STARS = [row % 3 for row in range(12)]
WORDS = [["he", "said"], ["Bob"], ["a", "b", "c"]]
TAGS = [["O", "O"], ["B"], ["O", "B", "O"]]
slices = tf.data.Dataset.from_tensor_slices


def of_series():
  """Tensors in the cells of a DataFrame."""
  return ta.Dataset.from_dataframe(pd.DataFrame({
      "text": list(tf.constant(TEXTS)), "label": list(tf.constant(LABELS))}))


@pytest.mark.parametrize("make", [
    lambda: ta.Dataset.from_lists(list(tf.constant(TEXTS)), LABELS),
    lambda: ta.Dataset.from_lists(TEXTS, list(tf.constant(LABELS))),
    lambda: ta.Dataset.from_lists(tf.constant(TEXTS), tf.constant(LABELS)),
    lambda: ta.Dataset.from_lists([tf.Variable(TEXTS[0]), *TEXTS[1:]], LABELS),
    lambda: ta.Dataset.from_lists(list(map(np.array, TEXTS)),
                                  list(map(np.array, LABELS))),
    lambda: ta.Dataset.from_dict(
        {"text": tf.constant(TEXTS), "label": tf.constant(LABELS)}),
    of_series,
])
def test_tensors_are_their_values(make):
  data = make()
  assert list(data.train) == [
      {"text": text, "label": label} for text, label in zip(TEXTS, LABELS)]


def test_tensors_of_other_problems():
  of = ta.Dataset.from_lists
  data = of(TEXTS, list(tf.constant([0.5, 1.0, 2.0])))
  assert data.train.labels.tolist() == [0.5, 1.0, 2.0]
  data = of(TEXTS, tf.ragged.constant([["x", "y"], [], ["y"]]))
  assert data.train.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
  data = ta.Dataset.from_dict({"text": tf.ragged.constant(WORDS),
                               "label": tf.ragged.constant(TAGS)})
  assert data.problem_type == "tagging" and data.train.words == WORDS
  data = ta.Dataset.from_dict({
      "q": tf.constant(["who", "what"]), "c": tf.constant(["Bob is", "a cat"]),
      "a": [{"text": tf.constant(["Bob"]), "answer_start": tf.constant([0])},
            {"text": np.array(["cat"]), "answer_start": np.array([2])}]},
      "q", text_pair="c", label="a")
  assert [one.answers for one in data.train.questions] == [("Bob",), ("cat",)]


class OfTensors:
  """A stand-in for a dataset of Hugging Face with a format."""

  column_names = ["text", "label"]

  class Names:
    names = ["neg", "pos"]

  features = {"label": Names}

  def __getitem__(self, column):
    return {"text": np.array(TEXTS), "label": tf.constant(LABELS)}[column]


def test_numbers_of_named_labels_may_be_tensors():
  data = ta.Dataset.from_dataframe(OfTensors())
  assert [row["label"] for row in data.train] == ["pos", "neg", "pos"]


@pytest.mark.parametrize("one", [tf.constant("a"), np.array("a"), "a"])
def test_a_single_value_is_no_column(one):
  with pytest.raises(ta.InputError, match="column 'text' is a .*: expected a"):
    ta.Dataset.from_dict({"text": one, "label": [1]})


@pytest.mark.parametrize("odd", [object(), {"a": 1}, len])
def test_what_is_no_text_is_not_learnt_from(odd):
  texts = [*TEXTS, odd]
  with pytest.warns(UserWarning, match="1 row left out: 1 with something else "
                    r"than a string \(first: lists, row 3\)"):
    data = ta.Dataset.from_lists(texts, [*LABELS, 1])
  assert data.train.first == TEXTS
  with pytest.raises(ta.InputError, match="^lists, row 3: expected a string in "
                     "column 'text_pair'"):
    ta.Dataset.from_lists([*TEXTS, "x"], [*LABELS, 1], text_pairs=texts,
                          on_bad_row="error")
  with pytest.raises(ta.InputError, match="3 with something else than a str"):
    ta.Dataset.from_lists([odd] * 3, LABELS)


def test_words_in_one_split_alone_are_no_texts():
  with pytest.warns(UserWarning, match="1 with something else than a string"):
    data = ta.Dataset.from_dict({
        "train": {"text": TEXTS, "label": LABELS},
        "test": {"text": [["he", "said"], "x"], "label": [0, 1]}})
  assert data.test.first == ["x"]


def test_numbers_and_dates_are_texts():
  texts = [1, 2.5, True, decimal.Decimal("1.50"), b"bytes", np.str_("x"),
           datetime.date(2026, 1, 2), pd.Timestamp("2026-01-02"),
           pd.Timedelta(days=1), pd.Period("2026-01")]
  data = ta.Dataset.from_lists(texts, ["a", "b"] * 5)
  assert data.train.first == [
      "1", "2.5", "True", "1.50", "bytes", "x", "2026-01-02",
      "2026-01-02 00:00:00", "1 days 00:00:00", "2026-01"]


def named(name, label):
  return {name: MANY, label: STARS}


def of_unknown_rank():
  return tf.data.Dataset.from_generator(
      lambda: zip(MANY, STARS), output_types=(tf.string, tf.int32))


@pytest.mark.parametrize("dataset, columns", [
    (slices(named("review", "stars")), ("review", "stars")),
    (slices(named("Review", "Stars")), ("review", "STARS")),
    (slices(named("Text", "label")), ("text", "label")),
    (slices(named("text", "label")), ("text", "label")),
    (slices((MANY, STARS)), ("text", "label")),
    (of_unknown_rank(), ("text", "label")),
])
@pytest.mark.parametrize("size", [None, 5, 12, 20])
def test_batches_hold_rows(dataset, columns, size):
  if size:
    dataset = dataset.batch(size)
  text, label = columns
  data = ta.Dataset.from_tf_data(dataset, text, label=label)
  assert data.problem_type == "classification"
  assert list(data.train) == [
      {"text": text, "label": label} for text, label in zip(MANY, STARS)]


def test_batches_of_pairs_and_sets():
  data = ta.Dataset.from_tf_data(slices(
      {"a": MANY, "b": MANY[::-1], "other": STARS, "y": STARS}).batch(5),
      "a", text_pair="b", label="y")
  assert data.train.second == MANY[::-1]
  data = ta.Dataset.from_tf_data(
      slices((MANY, [["x", "y"], ["y", "z"]] * 6)).batch(5))
  assert data.train[1] == {"text": MANY[1], "label": ["y", "z"]}


@pytest.mark.parametrize("size", [None, 2])
def test_sentences_are_no_batches(size):
  dataset = slices({"words": tf.ragged.constant(WORDS),
                    "tags": tf.ragged.constant(TAGS)})
  if size:
    dataset = dataset.batch(size)
  data = ta.Dataset.from_tf_data(
      dataset, "words", label="tags", problem_type="tagging")
  assert data.train.words == WORDS


def test_what_may_be_sentences_or_batches_is_refused():
  dataset = slices({"words": tf.ragged.constant(WORDS),
                    "tags": tf.ragged.constant(TAGS)})
  with pytest.raises(ta.InputError, match="^elements of the dataset hold 1 to "
                     "3 of 'words': dataset.unbatch"):
    ta.Dataset.from_tf_data(dataset, "words", label="tags")
  two = slices((MANY, STARS)).batch(5)
  two = two.concatenate(two)
  with pytest.raises(ta.InputError, match="^elements of .* hold 2 to 5"):
    ta.Dataset.from_tf_data(two)
  assert len(ta.Dataset.from_tf_data(
      two, problem_type="classification").train) == 24


def test_a_column_that_is_not_there_is_named():
  with pytest.raises(ta.InputError, match="no column 'text'; its columns are "
                     "review, stars"):
    ta.Dataset.from_tf_data(slices(named("review", "stars")).batch(5))
