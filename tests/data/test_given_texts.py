"""The texts of whatever they come in: understood, or refused in one line."""

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.data.given_texts import list_of

TEXTS = ["a film", "so", "é"]
DATA = ta.Dataset.from_lists(TEXTS, ["x", "y", "x"])
STRINGS = tf.data.Dataset.from_tensor_slices(TEXTS)


def decoded(texts):
  return [text.decode() if isinstance(text, bytes) else text for text in texts]


@pytest.mark.parametrize("texts", [
    TEXTS, tuple(TEXTS), iter(TEXTS), (text for text in TEXTS),
    np.array(TEXTS), np.array(TEXTS, object),
    np.array(TEXTS)[:, np.newaxis], tf.constant(TEXTS), STRINGS,
    STRINGS.batch(2), DATA.train,
], ids=lambda texts: type(texts).__name__)
def test_texts(texts):
  assert decoded(list_of(texts)) == TEXTS


def test_tables_of_other_libraries():
  pandas = pytest.importorskip("pandas")
  assert list_of(pandas.Series(TEXTS, index=[4, 4, 4])) == TEXTS
  assert list_of(pandas.Series(TEXTS, dtype="string")) == TEXTS
  assert list_of(pandas.Index(TEXTS)) == TEXTS
  with pytest.raises(ta.InputError, match="not a DataFrame: give one column"):
    list_of(pandas.DataFrame({"text": TEXTS}))
  pyarrow = pytest.importorskip("pyarrow")
  assert list_of(pyarrow.array(TEXTS)) == TEXTS
  table = pyarrow.table({"text": TEXTS})
  assert list_of(table["text"]) == TEXTS
  with pytest.raises(ta.InputError, match="not a Table: give one column"):
    list_of(table)


def test_pairs():
  pairs = list(zip(TEXTS, TEXTS))
  assert list_of(np.array(pairs)) == list(map(list, pairs))
  data = ta.Dataset.from_lists(TEXTS, ["x", "y", "x"], text_pairs=TEXTS)
  assert list_of(data.train) == pairs


@pytest.mark.parametrize("texts, message", [
    ("a film", r"not a single one: give \[text\]"),
    (np.array("a film"), "not a single one"),
    (tf.constant("a film"), "not a single one"),
    ({"text": TEXTS}, "not a dict: give one column"),
    ({"a film"}, "not a set, which has no order"),
    (5, "a list of texts, not 5"),
    (None, "a list of texts, not None"),
    (DATA, "not a Dataset: give one of its splits, such as data.test"),
    (STRINGS.repeat(), "not a dataset without end: leave its repeat"),
    (STRINGS.map(lambda text: (text, 1)),
     r"give one of strings, such as dataset.map\(lambda text, label: text"),
    (tf.data.Dataset.range(3), "give one of strings"),
], ids=repr)
def test_what_is_no_list_of_texts(texts, message):
  with pytest.raises(ta.InputError, match=message) as caught:
    list_of(texts)
  assert "\n" not in str(caught.value)
