import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import tf_adapters as ta
from tests.adapters import PAIRS, TASKS, TEXTS, make
from tests.tools.calling import call
from tf_adapters.adapter_files.info import read_info
from tf_adapters.data.cells import NUMBER_DIGITS, write_list, write_number
from tf_adapters.tools import export

# Reads a SavedModel and rows of (text, pair, task) as hexadecimal digits.
ALONE = """
import json, sys
import tensorflow as tf
import tensorflow_text
sys.modules["tf_adapters"] = None
model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
rows = [[bytes.fromhex(cell) for cell in row] for row in json.load(sys.stdin)]
text, pair, task = (tf.constant(column) for column in zip(*rows))
outputs = model(text=text, text_pair=pair, task=task)
print(json.dumps({
    "label": [label.decode() for label in outputs["label"].numpy()],
    "scores": outputs["scores"].numpy().tolist(),
    "names": [[name.decode() for name in row]
              for row in outputs["label_names"].numpy()]}))
"""


def utf8(text):
  return text if isinstance(text, bytes) else text.encode(
      errors="surrogatepass")


def as_label(prediction):
  """A bank's prediction as a SavedModel writes it."""
  if isinstance(prediction, float):
    return write_number(prediction)
  if isinstance(prediction, tuple):
    return write_list(prediction, ",")
  if isinstance(prediction, list):
    return write_list((tag for _, tag in prediction), " ")
  return prediction


@pytest.fixture(scope="module")
def bank(hf_source, task_files):
  return ta.AdapterBank(str(hf_source), task_files, max_length=20)


@pytest.fixture(scope="module")
def exported(bank, tmp_path_factory):
  return bank.export(tmp_path_factory.mktemp("serving") / "bank")


@pytest.fixture(scope="module")
def serving(exported):
  return tf.saved_model.load(str(exported)).signatures["serving_default"]


def test_a_process_without_the_package_gets_the_banks_labels(bank, exported):
  rows = [(text, name) for name, task in TASKS.items()
          for text in (PAIRS if task[-1] else TEXTS)]
  # An empty second text is none where the task could do with one.
  rows += [(pair, "score") for pair in PAIRS if pair[1]]
  cells = [[utf8(part).hex() for part in (
      *(text if isinstance(text, tuple) else (text, "")), name)]
           for text, name in rows]
  done = subprocess.run(
      [sys.executable, "-c", ALONE, str(exported)], input=json.dumps(cells),
      capture_output=True, text=True, check=True)
  got = json.loads(done.stdout)
  texts, tasks = zip(*rows)
  predicted = bank.predict(texts, tasks)
  probabilities = bank.predict_proba(texts, tasks)
  for row, task in enumerate(tasks):
    if TASKS[task][1] == "regression":
      assert float(got["label"][row]) == pytest.approx(
          predicted[row], abs=1e-5)
      assert got["scores"][row][0] == pytest.approx(predicted[row], abs=1e-5)
      continue
    assert got["label"][row] == as_label(predicted[row])
    names = list(TASKS[task][2])
    assert got["names"][row][:len(names)] == names
    assert not any(got["names"][row][len(names):])
    assert not any(got["scores"][row][len(names):])
    if TASKS[task][1] != "tagging":
      np.testing.assert_allclose(
          got["scores"][row][:len(names)],
          list(probabilities[row].values()), atol=1e-5)


def test_a_new_task_changes_no_bit_of_the_others(
    hf_source, task_files, tmp_path):
  names = ["topic", "words", "norms"]
  bank = ta.AdapterBank(
      str(hf_source), [task_files[name] for name in names])
  before = tf.saved_model.load(str(bank.export(tmp_path)))
  for name in ("tags", "after", "same"):
    bank.add(task_files[name])
  after = tf.saved_model.load(str(bank.export(tmp_path)))
  rows = [(text, name) for name in names for text in TEXTS]
  inputs = {"text": tf.constant([utf8(text) for text, _ in rows]),
            "task": tf.constant([name for _, name in rows])}
  old = before.signatures["single_texts"](**inputs)
  new = after.signatures["single_texts"](**inputs)
  width = old["scores"].shape[1]
  np.testing.assert_array_equal(old["label"], new["label"])
  np.testing.assert_array_equal(old["scores"], new["scores"][:, :width])
  # Both versions lie side by side, as TensorFlow Serving wants them.
  assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_unknown_tasks_fail_or_fall_to_a_default(
    hf_source, task_files, serving, tmp_path):
  inputs = {"text": tf.constant(["good"]), "text_pair": tf.constant([""])}
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=r"unknown task.*\[nothing\].*topic"):
    serving(**inputs, task=tf.constant(["nothing"]))
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=r"single texts was given a pair.*\[good\]"):
    serving(text=inputs["text"], text_pair=tf.constant(["bad"]),
            task=tf.constant(["topic"]))
  bank = ta.AdapterBank(str(hf_source), [task_files["topic"],
                                         task_files["norms"]])
  with pytest.raises(ta.InputError, match="default task 'same' is not one of"):
    bank.export(tmp_path / "x", default_task="same")
  path = bank.export(tmp_path / "y", default_task="norms")
  model = tf.saved_model.load(str(path)).signatures["serving_default"]
  np.testing.assert_array_equal(
      model(**inputs, task=tf.constant(["nothing"]))["scores"],
      model(**inputs, task=tf.constant(["norms"]))["scores"])


def strings(*values):
  return tf.constant(values, tf.string, [len(values)])


def test_a_batch_without_rows_has_outputs_without_rows(
    exported, task_files, tmp_path):
  single = {"text": strings(), "task": strings()}
  pairs = {**single, "text_pair": strings()}
  bank = tf.saved_model.load(str(exported)).signatures
  for outputs in (bank["single_texts"](**single),
                  bank["serving_default"](**pairs)):
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        "label": (0,), "scores": (0, 11), "label_names": (0, 11)}
  del single["task"], pairs["task"]
  for name in ("tags", "words"):
    path = ta.export_model(ta.load_adapter(task_files[name]), tmp_path / name)
    signatures = tf.saved_model.load(str(path)).signatures
    for outputs in (signatures["single_texts"](**single),
                    signatures["serving_default"](**pairs)):
      assert {len(values) for values in outputs.values()} == {0}


def test_inputs_of_other_shapes_are_errors(serving):
  good = {"text": strings("good", "bad"), "text_pair": strings("", ""),
          "task": strings("topic", "words")}
  one = serving(**{**good, "text_pair": strings("")})
  np.testing.assert_array_equal(one["label"], serving(**good)["label"])
  same = serving(**{**good, "task": strings("topic")})
  assert len(same["label"]) == 2
  for name, values, message in (
      ("text", tf.constant("good"), "Shape of tensor"),
      ("task", tf.constant("topic"), "Shape of tensor"),
      ("text_pair", tf.constant(""), "Shape of tensor"),
      ("text", tf.constant([["good"], ["bad"]]), "Shape of tensor"),
      ("text", strings("a", "b", "c"), "has another length than text"),
      ("task", strings(*["topic"] * 3), "task has another length than text"),
      ("text_pair", strings(*[""] * 3), "text_pair has another length"),
      ("task", strings(), "task has another length than text")):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
      serving(**{**good, name: values})


@pytest.mark.parametrize("name", ["topic", "words", *(
    pytest.param(name, marks=pytest.mark.slow) for name in ("tags", "score"))])
def test_numbers_that_are_not_finite_are_errors(
    one_layer_source, tmp_path, name):
  good = make(
      one_layer_source, tmp_path / "good", ta.AdapterConfig(size=8),
      *TASKS[name][1:])
  model = ta.load_adapter(good)
  model.head.linear.kernel.assign(
      tf.where(model.head.linear.kernel > 0, 3e38, -3e38))
  if name == "score":  # the sum of one output can be finite by chance
    gamma = model.named_variables()[
        "transformer/layer_0/output_layer_norm/gamma"]
    gamma.assign(tf.fill(gamma.shape, 3e38))
  ta.save_adapter(model, tmp_path / "odd", max_length=16)
  bank = ta.AdapterBank(
      str(one_layer_source), {"good": good, "odd": tmp_path / "odd"})
  texts = ["good", "bad"]
  served = tf.saved_model.load(str(bank.export(tmp_path / "served")))
  served = served.signatures["single_texts"]
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=r"not finite from a text.*\[odd\]"):
    served(text=strings(*texts), task=strings("good", "odd"))
  labels = served(text=strings(*texts), task=strings("good"))["label"].numpy()
  labels = [label.decode() for label in labels]
  predicted = bank.predict(texts, "good")
  if name == "score":  # computed by another graph, so rounded otherwise
    np.testing.assert_allclose(
        np.float32(labels), np.float32(predicted), atol=1e-5)
  else:
    assert labels == [as_label(label) for label in predicted]
  for predict in (bank.predict, bank.predict_proba, bank.predict_both):
    with pytest.raises(ta.InputError, match="text 1: task odd computes"):
      predict(texts, ["good", "odd"])


def test_numbers_are_written_as_in_python():
  values = np.float32([
      0, -0.0, 1e-7, 1e20, 1e-45, 1.17e-38, 3.4e38, 123456.5, 1234567, 0.1,
      -2.5, 99999.95, 1e-5, 0.0001, 5])
  rng = np.random.default_rng(0)
  values = np.concatenate([values, rng.integers(
      0, 1 << 32, 5000, np.uint32).view(np.float32)])
  values = values[np.isfinite(values)]
  written = tf.strings.as_string(
      values, precision=NUMBER_DIGITS, shortest=True).numpy()
  assert [text.decode() for text in written] == [
      write_number(float(value)) for value in values]


def test_warm_up_requests_are_what_the_model_takes(exported, serving):
  records = list(tf.data.TFRecordDataset(
      str(exported / "assets.extra" / "tf_serving_warmup_requests")))
  sizes = []
  for record in records:
    request = prediction_log_pb2.PredictionLog.FromString(
        record.numpy()).predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    outputs = serving(**{name: tf.constant(tf.make_ndarray(value))
                         for name, value in request.inputs.items()})
    sizes.append(len(outputs["label"]))
  assert sizes == [1, 8]


@pytest.mark.parametrize("name", ["topic", "same", "score", "tags", "words"])
def test_models_of_one_task_need_no_task(bank, task_files, tmp_path, name):
  info = read_info(task_files[name])
  path = ta.export_model(ta.load_adapter(task_files[name]), tmp_path / "7",
                         info.max_length, info.pairs)
  assert path == tmp_path / "7"
  signatures = tf.saved_model.load(str(path)).signatures
  texts = PAIRS if info.pairs else TEXTS
  if info.pairs:
    first, second = (tf.constant(column) for column in zip(*texts))
    outputs = signatures["serving_default"](text=first, text_pair=second)
  else:
    outputs = signatures["single_texts"](
        text=tf.constant([utf8(text) for text in texts]))
  for label, expected in zip(outputs["label"].numpy(),
                             bank.predict(texts, name)):
    if name == "score":
      assert float(label) == pytest.approx(expected, abs=1e-5)
    else:
      assert label.decode() == as_label(expected)


def test_what_can_not_be_exported_is_refused(
    hf_source, encoder, exported, tmp_path):
  with pytest.raises(ta.InputError, match="there is no task"):
    ta.AdapterBank(str(hf_source)).export(tmp_path / "x")
  with pytest.raises(ta.InputError, match="windows of a context"):
    ta.export_model(ta.SpanExtractor(encoder), tmp_path / "x")
  model = ta.TextRegressor(encoder)
  with pytest.raises(ta.InputError, match="1: this version is there already"):
    ta.export_model(model, exported)
  (tmp_path / "file").write_text("x")
  with pytest.raises(ta.InputError, match="cannot be written: Not a dir"):
    ta.export_model(model, tmp_path / "file" / "deeper")
  with pytest.raises(ta.InputError, match="nowhere: no such folder"):
    ta.export_litert(model, tmp_path / "nowhere" / "x.tflite")
  with pytest.raises(ta.InputError, match="file: is a file"):
    ta.export_model(model, tmp_path / "file")
  with pytest.raises(ta.InputError, match="positions for 40"):
    ta.export_model(model, tmp_path / "x", max_length=512)
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_version_that_appears_meanwhile_is_left_alone(
    one_layer_source, tmp_path, monkeypatch):
  model = ta.TextRegressor(ta.load_encoder(str(one_layer_source)))
  save = tf.saved_model.save

  def slow_save(*args, **kwargs):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "other").touch()
    save(*args, **kwargs)

  monkeypatch.setattr(tf.saved_model, "save", slow_save)
  with pytest.raises(ta.InputError, match="1: this version is there already"):
    ta.export_model(model, tmp_path)
  assert [path.name for path in tmp_path.glob("*")] == ["1"]
  assert [path.name for path in (tmp_path / "1").iterdir()] == ["other"]


def test_models_know_the_texts_of_their_adapter_file(task_files, tmp_path):
  model = ta.load_adapter(task_files["same"])
  assert (model.task.max_length, model.task.pairs) == (24, True)
  signatures = tf.saved_model.load(
      str(ta.export_model(model, tmp_path))).signatures
  text = model.encoder.text_processor(24)
  scores = signatures["single_texts"](
      text=tf.constant(["very " * 40]))["scores"]
  np.testing.assert_allclose(
      scores, tf.nn.softmax(model(text(["very " * 40], [""]))), atol=1e-5)


@pytest.mark.parametrize("quantize,tolerance", [(False, 1e-5), (True, 0.1)])
@pytest.mark.parametrize("name", ["topic", "words"])
def test_litert_gives_the_models_logits(
    one_layer_source, tmp_path, name, quantize, tolerance):
  model = ta.load_adapter(
      make(one_layer_source, tmp_path / name, *TASKS[name]))
  path = tmp_path / "model.tflite"
  ta.export_litert(model, path, 16, quantize)
  runner = tf.lite.Interpreter(str(path)).get_signature_runner()
  text = model.encoder.text_processor(16)
  inputs = text(["the film is good", "bad", ""], length=16)
  expected = model(inputs).numpy()
  for row in range(3):
    got = runner(**{key: value[row:row + 1].numpy()
                    for key, value in inputs.items()})["logits"]
    np.testing.assert_allclose(
        scipy.special.softmax(got[0], axis=-1),
        scipy.special.softmax(expected[row], axis=-1), atol=tolerance)
  with pytest.raises(ta.InputError, match="is there already"):
    ta.export_litert(model, path, 16)
  with pytest.raises(ta.InputError, match="end in .tflite"):
    ta.export_litert(model, tmp_path / "model.bin", 16)


def test_the_command_line_exports(one_layer_source, tmp_path, capfd):
  output = tmp_path / "bank"
  topic = make(one_layer_source, tmp_path / "topic", *TASKS["topic"])
  both = f"--adapters={topic},twin={topic}"
  assert call(export, both, f"--output={output}") == 0
  assert str(output / "1") in capfd.readouterr().out
  model = tf.saved_model.load(str(output / "1")).signatures["single_texts"]
  labels = model(text=tf.constant(["good"] * 2),
                 task=tf.constant(["topic", "twin"]))["label"].numpy()
  assert labels[0] == labels[1]
  named = f"--adapters=mine={topic}"
  assert call(export, named, f"--output={tmp_path / 'named'}") == 0
  model = tf.saved_model.load(
      str(tmp_path / "named" / "1")).signatures["single_texts"]
  assert model(text=tf.constant(["good"]), task=tf.constant(["mine"]))[
      "label"].numpy()[0] == labels[0]
  assert call(export, f"--adapters={topic}", f"--encoder={one_layer_source}",
              f"--output={tmp_path / 'x.tflite'}", "--quantize") == 0
  assert (tmp_path / "x.tflite").stat().st_size > 1000


@pytest.mark.parametrize("arguments,message", [
    (["--output=x"], "--adapters must be given"),
    (["--adapters={topic}"], "--output must be given"),
    (["--adapters={topic},{same}", "--output=x.tflite"],
     "a .tflite file holds one task, not 2"),
    (["--adapters={topic}", "--output=x", "--quantize"], "--quantize: for"),
    (["--adapters={topic}", "--output=x", "--default_task=topic"],
     "--default_task: there is one task only"),
    (["--adapters={topic},{topic}", "--output=x"], "has a task 'topic'"),
    (["--adapters=/nowhere", "--output=x"], "/nowhere: not an adapter file"),
])
def test_mistakes_are_one_line(
    task_files, tmp_path, monkeypatch, capfd, arguments, message):
  monkeypatch.chdir(tmp_path)
  assert call(export, *(text.format(**task_files)
                        for text in arguments)) == 1
  errors = [line for line in capfd.readouterr().err.splitlines()
            if line.startswith("error: ")]
  assert len(errors) == 1 and message in errors[0]
  assert not list(pathlib.Path().iterdir())
