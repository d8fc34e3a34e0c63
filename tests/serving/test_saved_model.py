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
from tf_adapters.serving import litert, saved_model
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
def exported(bank, tmp_path_factory):
  return bank.export(tmp_path_factory.mktemp("serving") / "bank")


@pytest.fixture(scope="module")
def served(exported):
  return tf.saved_model.load(str(exported)).signatures


@pytest.fixture(scope="module")
def serving(served):
  return served["serving_default"]


def one_layer_task(source, folder, name, adapters=None):
  """The adapter file of a task of `TASKS` on an encoder of one layer."""
  return make(source, folder / name, adapters or ta.AdapterConfig(size=8),
              *TASKS[name][1:])


SMALL = ("topic", "words", "tags", "score")


@pytest.fixture(scope="module")
def small_files(one_layer_source, tmp_path_factory):
  """Tasks on one layer, and the same that compute what is not finite."""
  folder = tmp_path_factory.mktemp("small")
  files = {}
  for name in SMALL:
    files[name] = one_layer_task(one_layer_source, folder, name)
    model = ta.load_adapter(files[name])
    model.head.linear.kernel.assign(
        tf.where(model.head.linear.kernel > 0, 3e38, -3e38))
    if name == "score":  # the sum of one output can be finite by chance
      gamma = model.named_variables()[
          "transformer/layer_0/output_layer_norm/gamma"]
      gamma.assign(tf.fill(gamma.shape, 3e38))
    files[f"odd_{name}"] = folder / f"odd_{name}"
    ta.save_adapter(model, files[f"odd_{name}"], max_length=16)
  return files


@pytest.fixture(scope="module")
def small_bank(one_layer_source, small_files):
  return ta.AdapterBank(str(one_layer_source), small_files, max_length=20)


@pytest.fixture(scope="module")
def small_folder(small_bank, tmp_path_factory):
  """A SavedModel of them as version 1, with a default task."""
  folder = tmp_path_factory.mktemp("small_bank")
  small_bank.export(folder, default_task="topic")
  return folder


@pytest.fixture(scope="module")
def small_served(small_folder):
  model = tf.saved_model.load(str(small_folder / "1"))
  return model.signatures


@pytest.mark.slow
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
    one_layer_source, small_files, small_folder, small_served, tmp_path):
  new = {"same": one_layer_task(one_layer_source, tmp_path, "same"),
         "norms": make(one_layer_source, tmp_path / "norms", *TASKS["norms"]),
         "wide": one_layer_task(
             one_layer_source, tmp_path, "head", ta.AdapterConfig(size=48))}
  bank = ta.AdapterBank(
      str(one_layer_source), {**small_files, **new}, max_length=20)
  after = tf.saved_model.load(str(bank.export(small_folder)))
  rows = [(text, name) for name in SMALL for text in TEXTS]
  inputs = {"text": tf.constant([utf8(text) for text, _ in rows]),
            "task": tf.constant([name for _, name in rows])}
  old = small_served["single_texts"](**inputs)
  new = after.signatures["single_texts"](**inputs)
  width = old["scores"].shape[1]
  assert new["scores"].shape[1] > width
  np.testing.assert_array_equal(old["label"], new["label"])
  np.testing.assert_array_equal(old["scores"], new["scores"][:, :width])
  # Both versions lie side by side, as TensorFlow Serving wants them.
  assert sorted(path.name for path in small_folder.iterdir()) == ["1", "2"]


def test_unknown_tasks_fail_or_fall_to_a_default(
    serving, small_bank, small_served, tmp_path):
  inputs = {"text": tf.constant(["good"]), "text_pair": tf.constant([""])}
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=r"unknown task.*\[nothing\].*topic"):
    serving(**inputs, task=tf.constant(["nothing"]))
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=r"single texts was given a pair.*\[good\]"):
    serving(text=inputs["text"], text_pair=tf.constant(["bad"]),
            task=tf.constant(["topic"]))
  with pytest.raises(ta.InputError, match="default task 'same' is not one of"):
    small_bank.export(tmp_path / "x", default_task="same")
  model = small_served["serving_default"]
  np.testing.assert_array_equal(
      model(**inputs, task=tf.constant(["nothing"]))["scores"],
      model(**inputs, task=tf.constant(["topic"]))["scores"])


def strings(*values):
  return tf.constant(values, tf.string, [len(values)])


def test_a_batch_without_rows_has_outputs_without_rows(served):
  single = {"text": strings(), "task": strings()}
  pairs = {**single, "text_pair": strings()}
  for outputs in (served["single_texts"](**single),
                  served["serving_default"](**pairs)):
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        "label": (0,), "scores": (0, 11), "label_names": (0, 11)}


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


@pytest.mark.parametrize("name", SMALL)
def test_numbers_that_are_not_finite_are_errors(
    small_bank, small_served, name):
  texts, odd = ["good", "bad"], f"odd_{name}"
  single_texts = small_served["single_texts"]
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match=rf"not finite from a text.*\[{odd}\]"):
    single_texts(text=strings(*texts), task=strings(name, odd))
  labels = single_texts(
      text=strings(*texts), task=strings(name))["label"].numpy()
  labels = [label.decode() for label in labels]
  predicted = small_bank.predict(texts, name)
  if name == "score":  # computed by another graph, so rounded otherwise
    np.testing.assert_allclose(
        np.float32(labels), np.float32(predicted), atol=1e-5)
  else:
    assert labels == [as_label(label) for label in predicted]
  for predict in (small_bank.predict, small_bank.predict_proba,
                  small_bank.predictions):
    with pytest.raises(ta.InputError, match=f"text 1: task {odd} computes"):
      predict(texts, [name, odd])


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


@pytest.mark.parametrize("name", ["words", *(
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("topic", "score", "tags"))])
def test_models_of_one_task_need_no_task(
    small_bank, small_files, tmp_path, name):
  info = read_info(small_files[name])
  path = ta.export_model(ta.load_adapter(small_files[name]), tmp_path / "7",
                         info.max_length, info.pairs)
  assert path == tmp_path / "7"
  signatures = tf.saved_model.load(str(path)).signatures
  outputs = signatures["single_texts"](
      text=tf.constant([utf8(text) for text in TEXTS]))
  for label, expected in zip(outputs["label"].numpy(),
                             small_bank.predict(TEXTS, name)):
    if name == "score":
      assert float(label) == pytest.approx(expected, abs=1e-5)
    else:
      assert label.decode() == as_label(expected)
  for empty in (
      signatures["single_texts"](text=strings()),
      signatures["serving_default"](text=strings(), text_pair=strings())):
    assert {len(values) for values in empty.values()} == {0}


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
  with pytest.raises(ta.InputError, match="1: .*it has no saved_model.pb"):
    ta.export_model(model, tmp_path / "1", overwrite=True)
  monkeypatch.setattr(tf.saved_model, "save", lambda _, folder, signatures: (
      pathlib.Path(folder, "new").touch()))
  (tmp_path / "1" / "saved_model.pb").touch()
  assert ta.export_model(model, tmp_path / "1", overwrite=True) == (
      tmp_path / "1")
  assert {path.name for path in (tmp_path / "1").iterdir()} == {
      "new", "assets.extra"}


def test_models_know_the_texts_of_their_adapter_file(
    one_layer_source, tmp_path):
  model = ta.load_adapter(one_layer_task(one_layer_source, tmp_path, "same"))
  assert (model.task.max_length, model.task.pairs) == (24, True)
  signatures = tf.saved_model.load(
      str(ta.export_model(model, tmp_path / "served"))).signatures
  text = model.encoder.text_processor(24)
  scores = signatures["single_texts"](
      text=tf.constant(["very " * 40]))["scores"]
  np.testing.assert_allclose(
      scores, tf.nn.softmax(model(text(["very " * 40], [""]))), atol=1e-5)
  first, second = zip(*PAIRS)
  expected = model(text(list(first), list(second))).numpy()
  outputs = signatures["serving_default"](
      text=strings(*first), text_pair=strings(*second))
  assert [label.decode() for label in outputs["label"].numpy()] == [
      model.labels[best] for best in expected.argmax(-1)]
  for empty in (
      signatures["single_texts"](text=strings()),
      signatures["serving_default"](text=strings(), text_pair=strings())):
    assert {len(values) for values in empty.values()} == {0}


@pytest.mark.parametrize("quantize,tolerance", [(False, 1e-5), (True, 0.1)])
@pytest.mark.parametrize("name", ["topic", "words"])
def test_litert_gives_the_models_logits(
    small_files, tmp_path, name, quantize, tolerance):
  model = ta.load_adapter(small_files[name])
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
  with pytest.raises(ta.InputError, match="is there already: .* overwrite it"):
    ta.export_litert(model, path, 16)
  with pytest.raises(ta.InputError, match="end in .tflite"):
    ta.export_litert(model, tmp_path / "model.bin", 16)


def test_the_command_line_exports(
    one_layer_source, small_files, tmp_path, monkeypatch, capfd):
  """The command calls the writers, which the tests above try."""
  written = []

  def note(module, name):

    def write(what, *arguments, **named):
      written.append((name, what, *arguments, named))
      return tmp_path / "written"

    monkeypatch.setattr(module, name, write)

  note(ta.AdapterBank, "export")
  note(saved_model, "export_model")
  note(litert, "export_litert")
  topic, output = small_files["topic"], str(tmp_path / "x")
  for adapters, *others in (
      [f"{topic},twin={topic}", "--default_task=twin"],
      [f"mine={topic}"],  # a name makes one task a bank
      [topic], [topic, "--quantize", "--overwrite"]):
    suffix = ".tflite" if "--quantize" in others else ""
    assert call(export, f"--adapter={adapters}", *others,
                f"--encoder={one_layer_source}",
                f"--output={output}{suffix}") == 0
    assert str(tmp_path / "written") in capfd.readouterr().out
  (_, both, *both_arguments), (_, mine, *mine_arguments), (
      _, one, *one_arguments), (_, small, *small_arguments) = written
  assert [name for name, *_ in written] == [
      "export", "export", "export_model", "export_litert"]
  assert both.names() == ["topic", "twin"]
  assert both_arguments == [output, "twin", {"overwrite": False}]
  assert mine.names() == ["mine"]
  assert mine_arguments == [output, None, {"overwrite": False}]
  for model in (one, small):
    assert model.labels == ("a", "b", "c")
  assert one_arguments == [output, {"overwrite": False}]
  assert small_arguments == [
      f"{output}.tflite", {"quantize": True, "overwrite": True}]


@pytest.mark.parametrize("arguments,message", [
    (["--output=x"], "--adapter must be given"),
    (["--adapter={topic}"], "--output must be given"),
    (["--adapter={topic},{same}", "--output=x.tflite"],
     "a .tflite file holds one task, not 2"),
    (["--adapter={topic}", "--output=x", "--quantize"], "--quantize: for"),
    (["--adapter={topic}", "--output=x", "--default_task=topic"],
     "--default_task: there is one task only"),
    (["--adapter={topic},{topic}", "--output=x"], "has a task 'topic'"),
    (["--adapter=/nowhere", "--output=x"], "/nowhere: not an adapter file"),
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
