"""Inputs that users hand to models, and the line that they get for it."""

import collections

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.problems import find_problem

LABELS = ("O", "B", "I")
TEXTS = ["the film is good", "bad", "he said so"]


@pytest.fixture(scope="module")
def encoder(one_layer_source):
  return ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=4))


@pytest.fixture(scope="module")
def x(encoder):
  inputs = encoder.text_processor(12)(TEXTS)
  return {name: value.numpy() for name, value in inputs.items()}


@pytest.fixture(scope="module")
def models(encoder):
  """A compiled model of each type of problem that is asked for."""

  def make(problem):
    model = find_problem(problem).make_model(encoder, LABELS)
    model.compile(run_eagerly=True)
    return model

  return {problem: make(problem) for problem in (
      "classification", "multi_label", "regression", "tagging", "span")}


def renamed(x):
  return dict(zip(["input_ids", "attention_mask", "token_type_ids"],
                  x.values()))


def changed(x, name, change):
  return {**x, name: change(x[name])}


def put(row, value):
  def change(array):
    array = array.copy()
    array[row, 1] = value
    return array
  return change


INPUTS = {
    "strings": (lambda x: np.array(TEXTS), "are strings.*text_processor"),
    "a list of strings": (lambda x: TEXTS, "a list of strings"),
    "a string": (lambda x: TEXTS[0], "a string"),
    "a string tensor": (lambda x: tf.constant(TEXTS), "strings"),
    "a list of arrays": (lambda x: list(x.values()),
                         r"a list of 3 \(ndarray\).*a dict of input_word_ids"),
    "a tuple of tensors": (lambda x: tuple(map(tf.constant, x.values())),
                           "a tuple of 3"),
    "ids alone": (lambda x: x["input_word_ids"], "one array of int32"),
    "a table": (lambda x: pd.DataFrame({"text": TEXTS}), "a DataFrame"),
    "a column": (lambda x: pd.Series(TEXTS), "strings"),
    "Hugging Face's names": (renamed, "attention_mask.*are called.*input_mask"),
    "its BatchEncoding": (lambda x: collections.UserDict(renamed(x)),
                          "are called"),
    "no mask": (lambda x: {name: value for name, value in x.items()
                           if name != "input_mask"}, "without input_mask"),
    "nothing": (lambda x: {}, "are empty, without input_word_ids"),
    "floats": (lambda x: changed(x, "input_word_ids", lambda a: a * 1.0),
               "input_word_ids has the type float64"),
    "lists in a dict": (lambda x: changed(
        x, "input_type_ids", lambda a: a.tolist()), "input_type_ids is a list"),
    "ragged": (lambda x: changed(x, "input_word_ids", lambda a:
                                 tf.RaggedTensor.from_tensor(a)),
               "input_word_ids is ragged"),
    "one row": (lambda x: {name: value[0] for name, value in x.items()},
                "a batch of rows, not one"),
    "unequal lengths": (lambda x: changed(
        x, "input_mask", lambda a: a[:, :-1]), "they have to be equal"),
    "an id too large": (lambda x: changed(
        x, "input_word_ids", put(2, 99_999)), "row 2 has 99999"),
    "an id below zero": (lambda x: changed(
        x, "input_word_ids", put(1, -1)), "row 1 has -1"),
    "a third segment": (lambda x: changed(
        x, "input_type_ids", put(0, 2)), "input_type_ids: row 0 has 2"),
    "too long": (lambda x: {name: np.tile(value, [1, 9])
                            for name, value in x.items()},
                 "positions for 40: encoder.text_proc"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_are_refused_in_one_line_wherever_they_come_in(
    kind, models, encoder, x):
  make, message = INPUTS[kind]
  given = make(x)
  model, y = models["classification"], np.zeros(3, np.int32)
  ways = [lambda: model(given), lambda: encoder(given),
          lambda: model.predict(given), lambda: model.fit(given, y),
          lambda: model.evaluate(given, y),
          lambda: model.predict_on_batch(given),
          lambda: model.train_on_batch(given, y),
          lambda: model.test_on_batch(given, y),
          lambda: model.fit(x, y, validation_data=(given, y))]
  for number, way in enumerate(ways):
    with pytest.raises(ta.InputError, match=message) as error:
      way()
    assert "\n" not in str(error.value), number
    assert type(error.value) is ta.InputError


def test_inputs_by_keyword_are_missed(models, encoder, x):
  for call in (models["classification"], encoder):
    for given in ({}, renamed(x), x):
      with pytest.raises(ta.InputError, match="inputs are missing: a dict of"):
        call(**given)
  with pytest.raises(ta.InputError, match="inputs are missing"):
    models["tagging"].fit()


def test_networks_without_bert_say_what_they_read(one_layer_source, x):
  network = ta.TextNetwork(ta.load_word_embedding(one_layer_source), pairs=True)
  model = ta.TextRegressor(network)
  for call in (network, model, model.predict):
    for given, message in ((renamed(x), "are called"), (TEXTS, "of strings"),
                           (changed(x, "input_word_ids", put(2, 99_999)),
                            "row 2 has 99999")):
      with pytest.raises(ta.InputError, match=message):
        call(given)


@pytest.mark.parametrize("make, message", [
    (lambda x: tf.data.Dataset.from_tensor_slices((TEXTS, [0, 1, 0])).batch(2),
     "inputs are strings"),
    (lambda x: tf.data.Dataset.from_tensor_slices((x, [0, 1, 0])),
     "a batch of rows, not one"),
    (lambda x: tf.data.Dataset.from_tensor_slices(
        (renamed(x), [0, 1, 0])).batch(2), "without input_word_ids"),
    (lambda x: tf.data.Dataset.from_tensor_slices(
        (x, ["O", "B", "O"])).batch(2), "labels are strings"),
    (lambda x: tf.data.Dataset.from_tensor_slices(
        (x, np.eye(3))).batch(2), "CategoricalCrossentropy"),
    (lambda x: tf.data.Dataset.from_tensor_slices(x).batch(2),
     "there are no labels"),
    (lambda x: tf.data.Dataset.from_tensor_slices(
        (x, np.array([0.0, 0.7, 1.0]))).batch(2), "type float64: .*tf.cast"),
])
def test_datasets_are_refused_by_their_elements(make, message, models, x):
  with pytest.raises(ta.InputError, match=message) as error:
    models["classification"].fit(make(x))
  assert "\n" not in str(error.value)


class Batches(tf_keras.utils.Sequence):
  """One batch, again and again."""

  def __init__(self, batch):
    self.batch = batch

  def __len__(self):
    return 2

  def __getitem__(self, number):
    return self.batch


@pytest.mark.parametrize("kind", [
    lambda batch: (batch for _ in range(2)), Batches])
def test_generators_are_looked_at(kind, models, x):
  model, y = models["classification"], np.array([0, 1, 2])
  for batch, message in (
      ((TEXTS, y), "a list of strings"),
      ((x, y + 0.7), "row 0 has 0.7"),
      ((x, y + 1), "row 2 has 3"),
      ((x, np.array(["O", "B", "I"])), "strings, such as 'O'"),
      ((x,), "there are no labels"),
      ((x, y, -np.ones(3)), "row 0 has -1: numbers from 0 on")):
    for call in (model.fit, model.evaluate, lambda batches: model.fit(
        x, y, validation_data=batches, verbose=0)):
      with pytest.raises(ta.InputError, match=message):
        call(kind(batch))
  with pytest.raises(ta.InputError, match="a list of strings"):
    model.predict(kind((TEXTS,)))
  loss = model.evaluate(kind((x, y)), verbose=0)
  assert loss == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
  np.testing.assert_allclose(
      model.predict(kind((x,)), verbose=0)[3:], model(x), atol=1e-5)


TAGS = np.array([[-1, 0, 1, 2, 0, -1], [-1, 0, -1, -1, -1, -1],
                 [-1, 0, 1, 0, -1, -1]])


@pytest.mark.parametrize("problem, labels, message", [
    ("classification", np.array(["O", "B", "I"]), "such as 'O'.*index"),
    ("classification", np.array(["O", "B", None], object), "strings"),
    ("classification", pd.Series(["O", "B", "I"]), "strings"),
    ("classification", np.array([0, 1, 2], object), r"objects.*astype\(int\)"),
    ("classification", np.array([1, 2, 3]), "row 2 has 3: .*begin with 1"),
    ("classification", np.array([0, 1, -1]), "row 2 has -1"),
    ("classification", np.array([0, 0.5, 1]), "row 1 has 0.5"),
    ("classification", np.array([0, np.nan, 1]), "row 1 has nan"),
    ("classification", np.eye(3), "for one-hot rows compile with"),
    ("classification", [0, 1, 2], "np.array"),
    ("classification", np.array([0, 1]), "2 labels for 3 rows"),
    ("classification", None, "there are no labels"),
    ("multi_label", np.array([0, 1, 1]), r"zeros and ones \[batch, 3\]"),
    ("multi_label", np.eye(4)[:3], r"the shape \[3, 4\]"),
    ("multi_label", np.eye(3) * 2, "row 0 has 2"),
    ("multi_label", np.array([["O"], ["B"], ["I"]]), "strings"),
    ("regression", np.array(["3.5", "1", "2"]), "strings"),
    ("regression", np.array([1.0, np.inf, 0.0]), "row 1 has inf"),
    ("regression", np.ones([3, 2]), r"the shape \[3, 2\]"),
    ("tagging", np.array([0, 1, 2]), "-1 for tokens without a label"),
    ("tagging", TAGS[:, :4], "a label for each wordpiece"),
    ("tagging", np.where(TAGS == 2, 3, TAGS), "row 0 has 3"),
    ("span", np.array([1, 2, 3]), r"the last token \[batch, 2\]"),
    ("span", np.array([[0, 0], [1, 2], [2, 40]]), "row 2 has 40"),
    ("span", np.array([[0, -1], [1, 2], [2, 2]]), "row 0 has -1"),
])
def test_labels_are_refused_in_one_line(problem, labels, message, models, x):
  for method in ("fit", "evaluate", "train_on_batch"):
    with pytest.raises(ta.InputError, match=message) as error:
      getattr(models[problem], method)(x, labels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("problem, labels, weights, message", [
    ("classification", np.array([0, 1, 2]), [1, 1, 1], "np.array"),
    ("classification", np.array([0, 1, 2]), np.ones([3, 3]), r"\[3, 3\]"),
    ("classification", np.array([0, 1, 2]), np.ones(2), "2 rows"),
    ("regression", np.ones(3), np.array([1, np.nan, 1]), "row 1 has nan"),
    ("tagging", TAGS, np.array([1, 1, -0.5]), "row 2 has -0.5"),
    ("span", np.ones([3, 2], int), np.ones([3, 2]), "for each row"),
    ("tagging", TAGS, np.ones([3, 4]), r"or for each label \[3, 6\]"),
    ("multi_label", np.eye(3), np.ones([3, 2]), "or for each label"),
])
def test_weights_are_refused_in_one_line(
    problem, labels, weights, message, models, x):
  with pytest.raises(ta.InputError, match=message):
    models[problem].fit(x, labels, sample_weight=weights)


def test_what_is_right_is_taken(models, encoder, x):
  """Types that Keras takes too, and what it cannot see before."""
  model = models["classification"]
  wide = {name: value.astype(np.int64) for name, value in x.items()}
  with_bool = changed(wide, "input_mask", lambda a: a.astype(bool))
  with_more = {**x, "weight_of_the_film": np.ones(3)}
  for given in (wide, with_bool, with_more, collections.UserDict(x)):
    np.testing.assert_allclose(model(given), model(x), atol=1e-6)
  for labels in (np.array([0.0, 1.0, 2.0]), np.array([[0], [1], [2]]),
                 pd.Series([0, 1, 2]), tf.constant([0, 1, 2])):
    assert np.isfinite(model.evaluate(x, labels, verbose=0)).all()
  # Hugging Face's number for tokens without a label.
  tagger = models["tagging"]
  assert tagger.evaluate(x, TAGS, verbose=0) == pytest.approx(
      tagger.evaluate(x, np.where(TAGS < 0, -100, TAGS), verbose=0))

  class Batches(tf_keras.utils.Sequence):

    def __len__(self):
      return 1

    def __getitem__(self, number):
      return x, np.array([0, 1, 2])

  model.fit(Batches(), verbose=0)
  model.fit(iter([(x, np.array([0, 1, 2]))]), steps_per_epoch=1, verbose=0)


def test_nothing_is_looked_at_in_a_graph(models, encoder, x):
  spec = {name: tf.TensorSpec([None, None], tf.int32) for name in x}
  call = tf.function(models["classification"].__call__)
  function = call.get_concrete_function(spec)
  kinds = {node.op for node in function.graph.as_graph_def().node}
  assert not kinds & {"Assert", "EagerPyFunc", "PyFunc"}
  inputs = {name: tf_keras.Input([None], dtype="int32", name=name)
            for name in x}
  output = encoder(inputs)["pooled_output"]
  tf_keras.Model(inputs, output)
  with pytest.raises(ta.InputError, match="float32: int32 is wanted"):
    encoder({name: tf_keras.Input([None], name=name) for name in x})
