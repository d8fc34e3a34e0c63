"""From data to labels: one small task of each type, trained, saved, loaded."""

import pickle
import random
import signal
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.eager import context

import tf_adapters as ta
from tf_adapters.adapter_files.info import read_info
from tf_adapters.errors import InputWarning, quietly, say
from tf_adapters.tasks.frame_forms import like
from tf_adapters.tasks.seeds import seeded
from tf_adapters.training.bookkeeping import Bookkeeping

pd = pytest.importorskip("pandas")

WORDS = ["the film", "he said", "very", "so", "plot is", "not"]


def rows(count, labels, seed=0):
  """Texts that say their label."""
  rng = np.random.default_rng(seed)
  found = [labels[number % len(labels)] for number in range(count)]
  return [f"{rng.choice(WORDS)} {label} {rng.choice(WORDS)}"
          for label in found], found


@pytest.fixture(scope="module", autouse=True)
def all_eagerly():
  """Tracing a graph for each model would take most of the time."""
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def tickets(one_layer_source):
  """A trained task, and its data."""
  texts, labels = rows(60, ["good", "bad"])
  df = pd.DataFrame({"ticket": texts, "team": labels},
                    index=range(100, 160))
  data = ta.Dataset.from_dataframe(
      df, text="ticket", label="team", validation=0.2, test=0.2)
  task = ta.TextTask(one_layer_source, data, adapter_size=4, pooling="mean",
                     max_length=16)
  assert "not trained yet" in repr(task)
  assert task.fit(epochs=5, batch_size=8, learning_rate=0.04,
                  class_weight="balanced", verbose=False) is task
  return task, df


def test_a_task_learns_and_its_history_is_keras_history(tickets):
  task, _ = tickets
  assert task.labels == ["bad", "good"]
  assert set(task.history) == {"loss", "val_accuracy", "val_macro_f1"}
  epochs = len(task.history["loss"])
  assert all(len(values) == epochs for values in task.history.values())
  assert task.history["loss"][-1] < task.history["loss"][0]
  assert task.best_epoch == 1 + int(np.argmax(task.history["val_accuracy"]))
  assert task.plot().axes[0].get_xlabel() == "epoch"
  assert "trained)" in repr(task) and "2 labels" in repr(task)


def test_predictions_have_the_form_of_the_texts(tickets):
  task, df = tickets
  texts = ["the film good so", "he said bad"]
  assert task.predict(texts) == ["good", "bad"]
  assert task.predict(np.array(texts)) == ["good", "bad"]
  series = task.predict(df.ticket)
  assert series.index.equals(df.index) and series.name == "team"
  assert (series == df.team).mean() == 1.0
  probabilities = task.predict_proba(df.ticket[:5])
  assert list(probabilities.columns) == ["bad", "good"]
  assert probabilities.index.equals(df.index[:5])
  np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
  assert list(probabilities.idxmax(axis=1)) == list(series[:5])
  assert task.predict([]) == []


def test_missing_texts_have_no_prediction(tickets):
  task, _ = tickets
  with pytest.warns(UserWarning, match="1 of 2 texts are missing"):
    found = task.predict(pd.Series(["so bad", None], index=[7, 9]))
  assert found[7] == "bad" and pd.isna(found[9])
  with pytest.warns(UserWarning, match="1 of 1 texts"):
    assert task.predict([None]) == [None]


def test_missing_texts_among_numbers_leave_these_what_they_are():
  found = like([1, None, 3], pd.Series(["a", None, "b"]), "stars")
  assert found.tolist() == [1, None, 3] and type(found[0]) is int


@pytest.mark.parametrize("fault, error, message", [
    ("diverges", ta.InputError, "the task is as it was before"),
    ("is stopped", KeyboardInterrupt, "")])
def test_a_fit_that_fails_leaves_the_task_as_it_was(
    one_layer_source, monkeypatch, tmp_path, fault, error, message):
  texts, labels = rows(20, [3.0, 5.0])
  task = ta.TextTask(one_layer_source, ta.Dataset.from_lists(
      texts, labels, problem_type="regression", validation=4),
      adapter_size=4, pooling="mean", max_length=16)
  task.fit(epochs=1, batch_size=8, verbose=False)
  before = task.model.get_weights(), task.model.task, task.history
  task.data = ta.Dataset.from_lists(
      texts, [1e3 * label for label in labels], problem_type="regression")
  ends = Bookkeeping.on_train_batch_end

  def end(self, batch, logs):
    if batch == 1:
      if fault == "is stopped":
        signal.raise_signal(signal.SIGINT)
      logs = {"loss": float("nan" if fault == "diverges" else "1")}
    ends(self, batch, logs)

  monkeypatch.setattr(Bookkeeping, "on_train_batch_end", end)
  with pytest.raises(error, match=message):
    task.fit(epochs=2, batch_size=8, verbose=False)
  for array, old in zip(task.model.get_weights(), before[0]):
    np.testing.assert_array_equal(array, old)
  assert (task.model.task, task.history) == before[1:]
  path = task.save(tmp_path / "task")
  assert read_info(path).metrics == before[1].metrics != {}


def test_seeds_of_the_caller_stay(one_layer_source):
  def drawn(with_task):
    tf_keras.utils.set_random_seed(5)
    if with_task:
      texts, labels = rows(8, ["good", "bad"])
      ta.TextTask(one_layer_source, ta.Dataset.from_lists(texts, labels),
                  adapter_size=2)
    return (random.random(), np.random.random(), float(tf.random.uniform([])),
            tf_keras.layers.Dense(1)(tf.ones([1, 1])).numpy().item())

  assert drawn(True) == drawn(False)


def test_a_process_in_which_nobody_seeded_draws_at_random_again(monkeypatch):
  tensorflow = context.context()
  monkeypatch.setattr(tensorflow, "_seed", None)
  monkeypatch.delattr(tensorflow, "_rng", raising=False)
  with seeded(5):
    first = float(tf.random.uniform([]))
  with seeded(5):
    assert float(tf.random.uniform([])) == first
  assert float(tf.random.uniform([])) != float(tf.random.uniform([]))
  assert tensorflow._seed is None


class Tee:
  """A thing that users put in the place of standard output."""

  def __init__(self):
    self.text = ""

  def write(self, text):
    self.text += text

  def flush(self):
    pass


def test_fits_that_are_quiet_leave_standard_output_alone(
    one_layer_source, monkeypatch):
  texts, labels = rows(8, ["good", "bad"])
  task = ta.TextTask(one_layer_source, ta.Dataset.from_lists(texts, labels),
                     adapter_size=2, max_length=16)
  for out in (Tee(), None):
    monkeypatch.setattr("sys.stdout", out)
    task.fit(epochs=1, verbose=False)
    assert sys.stdout is out and (out is None or out.text == "")
    task.fit(epochs=1)
    assert out is None or "epoch 1 of 1" in out.text
  # Of this thread alone.
  out = Tee()
  monkeypatch.setattr("sys.stdout", out)
  with quietly():
    thread = threading.Thread(target=say, args=["another"])
    thread.start()
    thread.join()
    say("this one")
  say("again")
  assert out.text == "another\nagain\n"


def test_a_task_is_pickled(tickets):
  task, df = tickets
  texts = list(df.ticket[:4])
  again = pickle.loads(pickle.dumps(task))
  pd.testing.assert_frame_equal(
      again.predict_proba(texts), task.predict_proba(texts))


def test_metrics_of_other_weights_are_not_saved(one_layer_source, tmp_path):
  texts, labels = rows(20, ["good", "bad"])
  task = ta.TextTask(
      one_layer_source, ta.Dataset.from_lists(texts, labels, validation=4),
      adapter_size=4, pooling="mean", max_length=16)
  task.fit(epochs=1, batch_size=8, verbose=False)
  assert read_info(task.save(tmp_path / "task")).metrics
  task.model.head.linear.bias.assign_add([1.0, 0.0])
  assert read_info(task.save(tmp_path / "task")).metrics == {}


def test_a_split_is_evaluated_by_its_labels_names(tickets):
  """Not by their numbers, which are others where a label is missing."""
  task, _ = tickets
  other = ta.Dataset.from_lists(
      ["the film good so", "he said new"], ["good", "new"])
  for split in (other.train, other.split("train"), other.splits["train"]):
    with pytest.raises(ta.InputError, match="has not: new"):
      task.evaluate(split)
  other = ta.Dataset.from_dict({
      "text": ["the film good so", "he said bad"], "label": ["good", "bad"]},
      labels=["good", "bad"])
  for split in (other.train, other.split("train"), other.splits["train"]):
    assert task.evaluate(split).metrics["accuracy"] == 1.0


@pytest.mark.parametrize("texts, message", [
    ("so bad", r"a list of texts, not a single one: give \[text\]"),
    ([1.5], "text 0: a text is wanted, not 1.5"),
    ([("a", "b")], "text 0: a text, no pair, is wanted"),
    (pd.DataFrame({"a": ["x"], "b": ["y"]}), "2 columns was given: one column"),
    ({"text": ["a"]}, "not a dict: give one column"),
    (7, "a list of texts, not 7"),
])
def test_what_is_no_list_of_texts_is_refused(tickets, texts, message):
  with pytest.raises(ta.InputError, match=message):
    tickets[0].predict(texts)


def test_an_evaluation_says_what_is_wrong(tickets):
  task, _ = tickets
  report = task.evaluate(task.data.test)
  assert report.metrics == task.evaluate("test").metrics == {
      "accuracy": 1.0, "macro_f1": 1.0}
  assert report.split == "test" and report.rows == 12
  assert report.confusion_matrix.to_dict() == {
      "bad": {"bad": 6, "good": 0}, "good": {"bad": 0, "good": 6}}
  assert report.per_class.f1.tolist() == [1.0, 1.0]
  assert report.per_class.rows.tolist() == [6, 6]
  assert len(report.mistakes()) == 0
  assert 0 <= report.calibration.error < 0.5
  assert "accuracy 1.0000" in repr(report)
  assert "<td>accuracy</td><td>1.0000</td>" in report._repr_html_()


def test_another_dataset_may_have_other_numbers_for_its_labels(tickets):
  task, _ = tickets
  # Its labels are in another order, and all of them are wrong.
  data = ta.Dataset.from_dict(
      {"text": ["so bad", "so good", "bad"], "label": ["good", "bad", "good"]},
      labels=["good", "bad"])
  assert data.labels == ("good", "bad")
  for given in (data, data.train):
    report = task.evaluate(given)
    assert report.split == "given"  # and not trained on
    assert report.metrics["accuracy"] == 0.0
    mistakes = report.mistakes(2)
    assert len(mistakes) == 2 and report.rows == 3
    assert mistakes.confidence.is_monotonic_decreasing
    assert set(mistakes.columns) == {
        "text", "label", "prediction", "confidence"}
  other = ta.Dataset.from_lists(["a", "b"], ["x", "y"])
  with pytest.raises(ta.InputError, match="labels that the task has not: x, y"):
    task.evaluate(other)


def test_mistakes_have_the_index_of_their_data_frame(tickets):
  task, _ = tickets
  frame = pd.DataFrame(
      {"text": ["so bad", "good", "bad", "so good"] * 5,
       "label": ["bad", "good", "good", "bad"] * 5}).sample(20, random_state=1)
  frame.loc[2, "text"] = None  # is left out
  with pytest.warns(InputWarning, match=r"\(first: DataFrame, row 2"):
    data = ta.Dataset.from_dataframe(frame, test=0.5)
  mistakes = task.evaluate(data).mistakes()
  assert len(mistakes) >= 2
  assert (frame.text[mistakes.index] == mistakes.text).all()
  assert (mistakes.index % 4).isin([2, 3]).all()


def test_a_saved_task_is_the_same_task(tickets, tmp_path):
  task, df = tickets
  path = task.save(tmp_path / "tickets")
  assert ta.load_adapter(path).task.name == "tickets"
  loaded = ta.TextTask.load(path)
  pd.testing.assert_frame_equal(
      loaded.predict_proba(df.ticket), task.predict_proba(df.ticket))
  assert loaded.evaluate(task.data.test).metrics == task.evaluate().metrics
  assert loaded.model.task.max_length == 16
  with pytest.raises(ta.InputError, match=r"fit needs data.*load\(path, data="):
    loaded.fit()
  again = ta.TextTask.load(path, data=task.data)
  assert again.evaluate().metrics == task.evaluate().metrics


@pytest.mark.parametrize("labels", [[3, 10], [False, True]])
def test_labels_come_back_as_they_were_given(
    one_layer_source, tmp_path, labels):
  texts, _ = rows(20, ["bad", "good"])
  given = [labels["good" in text] for text in texts]
  task = ta.TextTask(one_layer_source, ta.Dataset.from_lists(texts, given),
                     adapter_size=4)
  task.save(tmp_path / "task")
  found = ta.TextTask.load(tmp_path / "task")
  assert found.labels == task.labels == labels
  for value in found.predict(texts):
    assert type(value) is type(labels[0]) and value in labels
  assert list(found.predict_proba(texts).columns) == labels


def test_any_number_of_labels_with_thresholds(one_layer_source, tmp_path):
  texts, found = rows(30, ["good", "bad", "not good", "so"])
  labels = [[word for word in ("good", "bad") if word in one] for one in found]
  data = ta.Dataset.from_lists(texts, labels, name="words")
  task = ta.TextTask(one_layer_source, data, adapter_size=4)
  report = task.evaluate("train")
  assert len(report.threshold_curve()) == 2 * 19
  best = report.best_thresholds()
  assert set(best) == {"bad", "good"}
  task.thresholds = {"bad": 0.001, "good": 0.999}
  assert task.predict(texts[:2]) == [("bad",), ("bad",)]
  assert task.evaluate("train").metrics["accuracy"] == np.mean(
      [one == ["bad"] for one in labels])
  task.save(tmp_path / "task")
  assert ta.TextTask.load(tmp_path / "task").predict(texts[:1]) == [("bad",)]
  # By which banks go, as tests/serving/test_bank.py shows.
  assert read_info(tmp_path / "task").thresholds == dict(task.thresholds)
  with pytest.raises(TypeError, match="does not support item assignment"):
    task.thresholds["bad"] = 0.5  # which nothing would see
  for wrong in ({"bad": 1.5}, {"ugly": 0.5}):
    with pytest.raises(ta.InputError, match="thresholds is"):
      task.thresholds = wrong
  assert report.plot().axes


def test_thresholds_are_of_the_weights_and_metrics_of_the_thresholds(
    one_layer_source, tmp_path):
  texts, found = rows(30, ["good", "bad"])
  data = ta.Dataset.from_lists(
      texts, [[label] for label in found], validation=0.3)
  task = ta.TextTask(one_layer_source, data, adapter_size=4, pooling="mean")
  task.fit(epochs=1, verbose=False)
  assert task.model.task.metrics
  task.thresholds = {"good": 0.999}
  task.save(tmp_path / "task")
  assert not read_info(tmp_path / "task").metrics
  with pytest.warns(UserWarning, match="were chosen for the weights before"):
    task.fit(epochs=1, verbose=False)
  assert not task.thresholds
  assert task.evaluate("validation").metrics["micro_f1"] == pytest.approx(
      task.history["val_micro_f1"][-1])


def test_pairs_are_not_single_texts(one_layer_source, tmp_path):
  texts, labels = rows(12, ["good", "bad"])
  single = ta.Dataset.from_lists(texts, labels)
  pairs = ta.Dataset.from_lists(texts, labels, text_pairs=texts)
  for own, other, what in ((single, pairs, "pairs, the task is on single"),
                           (pairs, single, "single texts, the task is on p")):
    task = ta.TextTask(one_layer_source, own, adapter_size=4)
    with pytest.raises(ta.InputError, match=f"the train split has {what}"):
      task.evaluate(other)
    task.save(tmp_path / what[:3])
    with pytest.raises(ta.InputError, match="text_pair"):
      ta.TextTask.load(tmp_path / what[:3], data=other)
  # A file that does not say it takes either, until it is trained.
  encoder = ta.load_encoder(str(one_layer_source), ta.AdapterConfig(size=4))
  ta.save_adapter(ta.TextClassifier(encoder, ["bad", "good"]),
                  tmp_path / "either", max_length=16)
  task = ta.TextTask.load(tmp_path / "either", data=pairs)
  mixed = [(texts[0], texts[1]), texts[2], texts[3], (texts[4], texts[5])]
  found = task.predict_proba(mixed).to_numpy()
  bank = ta.AdapterBank(str(one_layer_source), [tmp_path / "either"])
  np.testing.assert_allclose(
      found, [list(one.values()) for one in bank.predict_proba(mixed)],
      atol=1e-5)
  for columns in (["a"], ["a", "b"]):
    assert len(task.predict(pd.DataFrame({
        name: texts for name in columns}))) == 12
  task.fit(epochs=1, verbose=False)
  assert task.model.task.pairs is True


def test_numbers_in_their_own_unit(one_layer_source, tmp_path):
  texts, labels = rows(16, ["good", "bad"])
  prices = [250_000.5 if label == "good" else 150_000.5 for label in labels]
  data = ta.Dataset.from_lists(texts, prices)
  task = ta.TextTask(one_layer_source, data, adapter_size=8)
  task.fit(epochs=14, batch_size=8, learning_rate=0.03, verbose=False)
  found = np.array(task.predict(texts))
  assert abs(found.mean() - 200_000) < 20_000
  assert np.corrcoef(found, prices)[0, 1] > 0.5
  task.save(tmp_path / "prices")
  again = ta.TextTask.load(tmp_path / "prices", data=data)
  np.testing.assert_allclose(again.predict(texts), found, rtol=1e-5)
  again.fit(epochs=1, batch_size=8, verbose=False)
  assert abs(np.mean(again.predict(texts)) - 200_000) < 20_000


def test_words_that_were_cut_off_are_no_mistakes(one_layer_source):
  words = [["he", "said"] * 10, ["so", "good"], ["not", "bad"]]
  tags = [["O", "B-x"] * 10, ["O", "B-x"], ["O", "B-x"]]
  data = ta.Dataset.from_dataframe(pd.DataFrame(
      {"text": words, "label": tags}, index=[7, 5, 3]))
  task = ta.TextTask(one_layer_source, data, adapter_size=4, max_length=8)
  report = task.evaluate("train")
  assert report.cut == 14
  assert "words that were cut off, and count as outside: 14" in repr(report)
  assert report.calibration.counts.sum() == 24 - 14
  mistakes = report.mistakes(99)
  assert set(mistakes.index) <= {7, 5, 3} and (mistakes.confidence < 1).all()
  assert len(report.index) == 24 and report.index[-1] == 3


def test_numbers_pairs_tags_and_spans(one_layer_source, tmp_path):
  texts, _ = rows(12, ["good", "bad"])
  make = ta.TextTask
  numbers = make(one_layer_source, ta.Dataset.from_lists(
      texts, np.linspace(0.1, 3, 12), text_pairs=texts), adapter_size=4)
  found = numbers.predict(pd.DataFrame({"a": texts, "b": texts}))
  assert all(isinstance(value, float) for value in found)
  assert numbers.predict([(text, text) for text in texts]) == list(found)
  report = numbers.evaluate()
  assert report.mistakes().error.is_monotonic_decreasing
  assert report.plot().axes and "mean absolute error" in repr(report)
  with pytest.raises(ta.InputError, match="a pair"):
    numbers.predict(texts)
  with pytest.raises(ta.InputError, match="has no probabilities"):
    numbers.predict_proba([("a", "b")])

  words = [text.split() for text in texts]
  tags = [["B-x" if word in ("good", "bad") else "O" for word in one]
          for one in words]
  tagger = make(one_layer_source, ta.Dataset.from_lists(words, tags),
                adapter_size=4)
  found = tagger.predict(words)
  assert [len(one) for one in found] == [len(one) for one in words]
  assert tagger.predict(texts) == found
  assert set(tagger.predict_proba(words)[0][0]) == {"O", "B-x"}
  report = tagger.evaluate()
  assert report.entity_errors().set_index("type").loc["x"].iloc[:2].sum() <= 12
  assert report.plot().axes and "B-x" in set(report.mistakes(999).label)
  # One rule for words: other blanks of Unicode are parts of them.
  tagger.save(tmp_path / "tags")
  text = "he\u00a0said good\u3000so\tnot "
  assert [len(tags) for tags in tagger.predict([text])] == [3]
  assert len(ta.AdapterBank(str(one_layer_source), [tmp_path / "tags"]).predict(
      [text])[0]) == 3

  spans = make(one_layer_source, ta.Dataset.from_dict({
      "question": ["he", "what"], "context": ["he said so", "the film is bad"],
      "answer": ["so", "film"]}, "question", text_pair="context",
      label="answer", problem_type="span"),
               max_length=40)
  report = spans.evaluate()
  assert list(report.index) == [0, 1]
  assert report.columns["prediction"] == spans.predict(
      list(zip(["he", "what"], ["he said so", "the film is bad"])))
  found = spans.predict([("he", "he said so")])
  assert found[0] in "he said so"
  # Windows fit the length, and are the task's own for other data, too.
  assert spans.model.task.span["max_query_length"] == 10
  assert spans.evaluate(ta.Dataset.from_dict({
      "question": ["he"], "context": ["he said so " * 40], "answer": ["so"],
  }, "question", text_pair="context", label="answer",
      problem_type="span")).rows == 1


def test_what_cannot_be_a_task_is_refused(one_layer_source):
  with pytest.raises(ta.InputError, match="a Dataset is wanted"):
    ta.TextTask(one_layer_source, ["a", "b"])
  data = ta.Dataset.from_lists(["a", "b"], ["x", "y"])
  with pytest.raises(ta.InputError, match="adapter_size is of bottleneck"):
    ta.TextTask(one_layer_source, data, 8, ta.LoraConfig(rank=2))
  with pytest.raises(ta.InputError, match="the encoder comes first"):
    ta.TextTask(data, one_layer_source)
  task = ta.TextTask(one_layer_source, data, method=ta.LoraConfig(rank=2))
  with pytest.raises(ta.InputError, match="no learning curves"):
    task.plot()
  with pytest.raises(ta.InputError, match="fit takes no list: it trains on"):
    task.fit(["a", "b"], ["x", "y"])
  with pytest.warns(InputWarning, match="never trained") as warned:
    task.evaluate()
  assert warned[0].filename == __file__
  with pytest.raises(ta.InputError, match="thresholds are for multi_label"):
    task.thresholds = {"x": 0.3}
