import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import scipy.special
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import PAIRS, TASKS, TEXTS, THRESHOLDS, edit, make
from tf_adapters.adapter_files.adapter_file import write_adapter
from tf_adapters.adapter_files.info import read_info
from tf_adapters.data import span_answers, squad
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.training_config import TrainingConfig


@pytest.fixture(scope="module")
def rows():
  """(text, task) of every task, in a random order."""
  rows = [(text, name) for name, task in TASKS.items()
          for text in (PAIRS if task[-1] else TEXTS)]
  rows += [(pair, "score") for pair in PAIRS]
  return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def alone(model, text, max_length):
  """Returns the logits of one text by the model of one adapter file."""
  processor = model.encoder.text_processor(max_length)

  def utf8(text):
    # A tensor may hold what is no UTF-8; from lists a processor refuses it.
    return tf.constant([text if isinstance(text, bytes) else text.encode(
        errors="surrogatepass")])

  if model.problem_type == "tagging":
    word_ids, type_ids, starts = processor.pack_words(
        processor.split_words(utf8(text)))
    return model(processor.pad(word_ids, type_ids))[0].numpy(), starts[0]
  if isinstance(text, tuple):
    return model(processor(*map(utf8, text)))[0].numpy()
  return model(processor(utf8(text)))[0].numpy()


@pytest.fixture(scope="module")
def logits(task_files, rows):
  """The logits of the rows by the tasks' models, one by one."""
  models = {name: ta.load_adapter(path) for name, path in task_files.items()}
  return [alone(models[task], text, TASKS[task][5] or 20)
          for text, task in rows]


@pytest.mark.parametrize("jit_compile", [
    False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_row_is_as_its_task_alone_has_it(
    hf_source, task_files, bank, rows, logits, jit_compile):
  if jit_compile:  # takes its time for every kind of adapter
    bank = ta.AdapterBank(
        str(hf_source),
        {name: task_files[name] for name in ("score", "words", "norms")},
        max_length=20, jit_compile=True)
  texts, tasks, logits = zip(*[
      (*row, outputs) for row, outputs in zip(rows, logits)
      if row[1] in bank.names()])
  got = bank.predict_proba(texts, tasks, batch_size=16)
  labels = bank.predict(texts, tasks, batch_size=16)
  for task, row, label, outputs in zip(tasks, got, labels, logits):
    _, problem, names, *_ = TASKS[task]
    if problem == "tagging":
      outputs, starts = outputs
      assert len(row) == len(label) == len(starts)
      for (_, tags), (_, tag), start in zip(row, label, starts):
        if start < 0:  # cut off
          assert tags == {"O": 1.0, "B": 0.0, "I": 0.0} and tag == "O"
          continue
        expected = scipy.special.softmax(outputs[start])
        np.testing.assert_allclose(list(tags.values()), expected, atol=1e-5)
        assert tag == names[expected.argmax()]
    elif problem == "regression":
      assert row == label == pytest.approx(outputs[0], abs=1e-5)
    else:
      expected = (scipy.special.expit if problem == "multi_label"
                  else scipy.special.softmax)(outputs)
      assert "".join(row) == names
      np.testing.assert_allclose(list(row.values()), expected, atol=1e-5)
      if problem == "multi_label":
        assert label == tuple(n for n, p in zip(names, expected)
                              if p > THRESHOLDS.get(n, 0.5))
      else:
        assert label == names[expected.argmax()]


def test_one_pass_gives_labels_and_probabilities(bank, rows):
  texts, tasks = zip(*rows)
  for task, both, label, scores in zip(
      tasks, bank.predictions(texts, tasks), bank.predict(texts, tasks),
      bank.predict_proba(texts, tasks)):
    problem = TASKS[task][1]
    assert (both.task, both.value, both.span) == (task, label, None)
    assert both.probabilities == (None if problem == "regression" else scores)
    assert both.probability == (
        scores[label] if problem == "classification" else None)


def test_rows_without_a_task_get_the_encoders_embedding(hf_source, bank):
  encoder = ta.load_encoder(str(hf_source))
  expected = encoder(encoder.text_processor(20)(
      ["the film", "bad"], ["is good", ""]))["pooled_output"]
  texts = [("the film", "is good"), "good", ("bad", "")]
  got = bank.predict(texts, ["base", "topic", None])
  np.testing.assert_allclose(got[0], expected[0], atol=1e-5)
  np.testing.assert_allclose(got[2], expected[1], atol=1e-5)
  assert got[1] in "abc"


@pytest.mark.parametrize("version_2", [
    True, pytest.param(False, marks=pytest.mark.slow)])
def test_answers_are_those_of_the_task_alone(
    hf_source, task_files, tmp_path, version_2):
  options = SquadOptions(
      version_2=version_2, doc_stride=4, max_query_length=6, n_best_size=3)
  path = make(hf_source, tmp_path / "squad", ta.AdapterConfig(size=8), "span",
              "", "mean", "adapters", 20, True, span=options.to_dict())
  contexts = ["The film is good. " * 5, "He said so, very!", "", "bad 😀 plot"]
  questions = ["is so?", "he said?", "very?", "is it bad?"]
  model = ta.load_adapter(path)
  encoded = squad.SquadSplit(contexts, [
      squad.Question(str(n), question, n, (), None)
      for n, question in enumerate(questions)], options, answered=False,
  ).encode(model.encoder.text_processor(20))
  expected = span_answers.choose(encoded, predict(
      model, encoded, TrainingConfig(eval_batch_size=8)))
  bank = ta.AdapterBank(str(hf_source), [task_files["topic"], path])
  rows = [("good", "topic"),
          *(((question, context), "squad")
            for question, context in zip(questions, contexts))]
  texts, tasks = zip(*rows[::-1])
  got = bank.predict(texts, tasks)
  assert got[:4] == [answers.text for answers in expected.values()][::-1]
  assert bank.predict_proba(texts, tasks)[3] == pytest.approx({
      answer.text: answer.probability for answer in expected["0"].best},
      abs=1e-5)
  assert got[4] in "abc"
  for prediction, ((_, context), _) in zip(
      bank.predictions(texts, tasks)[:4], rows[:0:-1]):
    place = prediction.span
    assert prediction.value == (context[slice(*place)] if place else "")


def test_other_tasks_change_no_bit(hf_source, task_files, rows):
  few = ["words", "topic", "score"]
  texts, tasks = zip(*[row for row in rows if row[1] in few])
  bank = ta.AdapterBank(str(hf_source), [task_files[name] for name in few])
  before = bank.predict_proba(texts, tasks)
  for name in ("norms", "same", "tags", "after"):
    bank.add(task_files[name])
    assert bank.predict_proba(texts, tasks) == before
  for name in ("same", "norms"):
    bank.remove(name)
    assert bank.predict_proba(texts, tasks) == before
  assert bank.names() == [*few, "tags", "after"]
  bank.add(task_files["same"], name="again")
  assert bank.predict([PAIRS[0]], "again") == [
      "yn"[alone(ta.load_adapter(task_files["same"]), PAIRS[0], 24).argmax()]]


def test_a_new_task_of_a_known_kind_needs_no_new_trace(hf_source, task_files):
  bank = ta.AdapterBank(str(hf_source), [task_files["topic"]])
  bank.predict(["good"], "topic")
  traced = bank._now().forward
  bank.add(task_files["topic"], "twin")
  assert bank.predict(["good"], "twin") == bank.predict(["good"], "topic")
  assert bank._now().forward is traced


def test_banks_of_a_vocabulary_pack_texts_by_one_graph(
    hf_source, one_layer_source):
  banks = [ta.AdapterBank(str(source)) for source in (
      hf_source, one_layer_source, hf_source)]
  assert len({bank._now().shared.pack for bank in banks}) == 1
  assert banks[0]._now().shared.pack.experimental_get_tracing_count() == 1


def test_memory_is_the_adapters_own(hf_source, task_files):
  tensors = ta.load_adapter(task_files["topic"]).tuned_variables()
  own = sum(variable.numpy().nbytes for name, variable in tensors.items()
            if not name.startswith("head/"))
  sizes = []
  for count in (1, 6):
    tasks = ta.AdapterBank(
        str(hf_source), dict.fromkeys("abcdef"[:count], task_files["topic"])
    )._now().tasks
    sizes.append(sum(table.numpy().nbytes for table in tasks.variables))
  head = 4 * 8 * (32 + 1)  # three labels, in a stack of heads with eight
  assert (sizes[1] - sizes[0]) / 5 == own + head


def test_a_batch_reads_its_rows_of_the_tables_alone(bank):
  graph = bank._now().forward._graph.graph
  tables = [tensor for tensor in graph.inputs if tensor.dtype == tf.resource]
  tables = tables[:len(bank._now().tasks.variables)]
  assert {op.type for table in tables for op in table.consumers()} == {
      "ResourceGather"}


def test_lists_can_be_empty_and_long(bank):
  with pytest.raises(ta.InputError, match="batch_size must be positive"):
    bank.predict(["good"], "topic", batch_size=0)
  assert bank.predict([], "topic") == []
  texts = [f"film {'good ' * (i % 7)}" for i in range(200)]
  together = bank.predict_proba(texts, "topic", batch_size=16)
  for i in (0, 77, 199):
    assert together[i] == pytest.approx(
        bank.predict_proba([texts[i]], "topic")[0], abs=1e-6)


def test_texts_and_tasks_come_in_anything_that_has_an_order(bank):
  texts = ["good", "bad film"]
  expected = bank.predict(texts, "topic")
  for given in (pd.Series(texts, index=[7, 7]), np.array(texts), iter(texts),
                pd.Series(texts, dtype="string"), tf.constant(texts),
                tuple(texts), np.array(texts, object)):
    assert bank.predict(given, "topic") == expected
  for tasks in (pd.Series(["topic"] * 2, index=[3, 9]), iter(["topic"] * 2),
                np.array(["topic"] * 2)):
    assert bank.predict(texts, tasks) == expected
  pairs = [("good", "bad"), ("very", "so")]
  assert bank.predict(np.array(pairs), "same") == bank.predict(pairs, "same")
  assert bank.predict(pd.Series([], dtype=object), "topic") == []
  assert bank.predict(iter([]), iter([])) == []


@pytest.mark.parametrize("texts,tasks,message", [
    ("good", "topic", "list of texts"),
    (pd.DataFrame({"text": ["good"]}), "topic", r"DataFrame: give one column"),
    ({"text": ["good"]}, "topic", "not a dict: give one column"),
    ({"good"}, "topic", "not a set, which has no order"),
    (np.array("good"), "topic", "a list of texts, not a single one"),
    (5, "topic", "list of texts, not 5"),
    (["good"], {"topic": 1}, "list of tasks, not a dict"),
    (["good", "bad"], ["topic", 3], "text 1: expected the name of a task"),
    (["good", "bad"], pd.Series(["topic", None]).fillna(np.nan),
     "text 1: expected the name of a task, not nan"),
    (pd.Series(["good", None]), "topic", "text 1: expected a string or"),
    (pd.Series(["good", pd.NA], dtype="string"), "topic", "text 1: .*<NA>"),
    ([("good",)], "same", "text 0: expected a string or a pair"),
    (["good"], "nothing", "no task 'nothing'.*topic"),
    (["good", "bad"], ["topic"], "2 texts, but 1 tasks"),
    (["good"], "same", "text 0: task same is on pairs"),
    ([("good", "bad")], "words", "text 0: task words is on single texts"),
    ([None], "topic", "text 0: expected a string or a pair of them, not None"),
    ([("a", float("nan"))], "score", "text 0: expected a string or a pair"),
    (["bad", ("a", "b")], "topic", "text 1: task topic is on single"),
    ([("a", "b", "c")], "score", "text 0: expected a string or a pair"),
])
def test_wrong_texts_are_refused(bank, texts, tasks, message):
  with pytest.raises(ta.InputError, match=message):
    bank.predict(texts, tasks)


def test_adapters_that_do_not_fit_are_refused(
    hf_source, task_files, bank, tmp_path):
  def refused(path, message, name=None):
    names = bank.names()
    with pytest.raises(ta.InputError, match=message):
      bank.add(path, name)
    assert bank.names() == names

  refused(tmp_path / "none", "not an adapter file")
  refused(task_files["topic"], "has a task 'topic' already")
  for name in ("base", "", 3, ("a", "b")):
    refused(task_files["topic"], re.escape(f"cannot be called {name!r}"), name)
  for tuning, pooling in (("full", "mean"), ("top_layers:1", "mean"),
                          ("bias", "mean")):
    path = make(
        hf_source, tmp_path / f"{tuning[:4]}-{pooling}",
        ta.AdapterConfig(size=8), "classification", "yn", pooling, tuning)
    refused(path, f"tuned with .{tuning[1:4]}.*which changes the encoder")
  other = tmp_path / "other"
  shutil.copytree(task_files["topic"], other)
  config = json.loads((other / "adapter_config.json").read_text())
  edit(other, encoder={**config["encoder"], "weights_fingerprint": "0" * 64})
  refused(other, "made for other encoder weights", "new")
  damaged = tmp_path / "damaged"
  shutil.copytree(task_files["topic"], damaged)
  with open(damaged / "adapter.safetensors", "r+b") as file:
    file.truncate(1000)
  refused(damaged, "damaged", "new")
  with pytest.raises(ta.InputError, match="no task 'new'"):
    bank.remove("new")
  with pytest.raises(ta.InputError, match="no task 'base'"):
    bank.remove("base")


@pytest.mark.parametrize("changes,message", [
    ({"max_length": 3}, "max_length is 3"),
    ({"max_length": True}, "max_length is True"),
    ({"max_length": 41}, "max_length 41: the encoder has positions for 40"),
    ({"labels": ["a", "b", "a"]}, "labels is"),
    ({"problem_type": "regression"}, "labels is"),
    ({"problem_type": "tagging"}, "pooling must be one of tokens"),
    ({"pooling": "tokens"}, "pooling must be one of pooler, cls, mean"),
    ({"problem_type": "span", "labels": [], "pooling": "tokens",
      "max_length": 24}, "span: max_seq_length 24 leaves 0 wordpieces"),
    ({"problem_type": "span", "labels": [], "pooling": "tokens",
      "span": {"doc_stride": -1}}, "span: doc_stride must be a positive"),
    ({"tuning": "top_layers:" + "9" * 5000}, "K must be a positive number"),
    ({"adapter": {"size": 8, "layers": [7]}},
     "odd: adapter layer 7 does not exist"),
])
def test_files_that_contradict_themselves_are_refused(
    bank, task_files, tmp_path, changes, message):
  path = tmp_path / "odd"
  shutil.copytree(task_files["topic"], path)
  edit(path, **changes)
  with pytest.raises(ta.InputError, match=message):
    bank.add(path, "odd")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(
    hf_source, bank, tmp_path, value):
  model = ta.TextRegressor(ta.load_encoder(str(hf_source)))
  model.tune("head")
  path = tmp_path / "x"
  ta.save_adapter(model, path)
  before = safetensors.numpy.load_file(path / "adapter.safetensors")
  model.head.linear.bias.assign([value])
  with pytest.raises(ta.InputError, match="not written: head/bias holds"):
    ta.save_adapter(model, path)
  after = safetensors.numpy.load_file(path / "adapter.safetensors")
  assert after["head/bias"] == before["head/bias"]
  write_adapter(path, read_info(path), {
      **after, "head/bias": np.array([value], np.float32)})
  with pytest.raises(ta.InputError, match="head/bias: expected finite"):
    bank.add(tmp_path / "x")


def test_words_keep_their_places_whatever_is_in_them(bank):
  text = "foo \ufffd bar \u200b London\u00a0here \x01 x"
  words = [word for word, _ in bank.predict([text], "words")[0]]
  assert words == ["foo", "\ufffd", "bar", "\u200b", "London\u00a0here",
                   "\x01", "x"]


def test_what_a_task_is_can_be_asked(bank):
  assert bank.info("words").labels == ("O", "B", "I")
  with pytest.raises(ta.InputError, match="no task"):
    bank.info("nothing")


def test_a_pooler_that_the_head_does_not_look_at_does_not_matter(
    hf_source, tmp_path):
  path = make(hf_source, tmp_path / "x", ta.AdapterConfig(size=8),
              "classification", "yn", "mean", "adapters+pooler")
  bank = ta.AdapterBank(str(hf_source), [path])
  np.testing.assert_allclose(
      list(bank.predict_proba(["good"], "x")[0].values()),
      tf.nn.softmax(alone(ta.load_adapter(path), "good", 32)), atol=1e-5)
