import json
import os
import pathlib
import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

import tf_adapters as ta
from tests import conftest, reference
from tests.checkpoints.test_damage import tensors
from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.loading import describe_encoder
from tf_adapters.modeling import serialization

ROOT = pathlib.Path(__file__).parents[2]


def test_hub_saved_model_is_rebuilt(hub_source, batch):
  folder, tensors = hub_source
  encoder = ta.load_encoder(str(folder))
  for name, variable in encoder.named_variables().items():
    np.testing.assert_array_equal(variable, tensors[name], name)
  ours, theirs = encoder(batch), hub.load(str(folder))(batch)
  for name in ("sequence_output", "pooled_output", "default"):
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)
  for mine, other in zip(ours["encoder_outputs"], theirs["encoder_outputs"]):
    np.testing.assert_allclose(mine, other, atol=1e-5)


def test_hugging_face_folder_is_rebuilt(bert_weights, hf_source, batch):
  encoder = ta.load_encoder(str(hf_source))
  assert encoder.config.hidden_act == "gelu"
  outputs = encoder(batch)
  inputs = {name: value.numpy() for name, value in batch.items()}
  sequence, pooled = reference.bert(
      bert_weights, inputs["input_word_ids"], inputs["input_mask"],
      inputs["input_type_ids"])
  np.testing.assert_allclose(outputs["sequence_output"], sequence, atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)


def rewrite(hf_source, folder, change):
  """A copy of the Hugging Face folder with other tensors."""
  tensors(change)(shutil.copytree(hf_source, folder))
  return str(folder)


@pytest.mark.parametrize("change", [
    lambda t: {f"bert.{n}": a for n, a in t.items()},
    lambda t: {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"): a for n, a in t.items()},
    lambda t: {**t, "embeddings.position_ids": np.arange(40)[None]},
    lambda t: {**{f"bert.{n}": a for n, a in t.items()},
               "classifier.weight": np.zeros([2, 32], "f4")},
])
def test_hugging_face_spellings(hf_source, tmp_path, change):
  encoder = ta.load_encoder(rewrite(hf_source, tmp_path / "x", change))
  assert encoder.origin.fingerprint == ta.load_encoder(
      str(hf_source)).origin.fingerprint


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_weights_of_16_bits(hf_source, tmp_path, dtype):
  short = rewrite(hf_source, tmp_path / "short", lambda t: {
      n: a.astype(dtype) for n, a in t.items()})
  rounded = rewrite(hf_source, tmp_path / "rounded", lambda t: {
      n: a.astype(dtype).astype(np.float32) for n, a in t.items()})
  assert ta.load_encoder(short).origin.fingerprint == ta.load_encoder(
      rounded).origin.fingerprint


def test_a_missing_pooler_is_the_identity(hf_source, tmp_path, batch, caplog):
  folder = rewrite(hf_source, tmp_path / "x", lambda t: {
      n: a for n, a in t.items() if "pooler" not in n})
  outputs = ta.load_encoder(folder)(batch)
  assert "has no pooler" in caplog.text
  np.testing.assert_allclose(
      outputs["pooled_output"], np.tanh(outputs["sequence_output"][:, 0]),
      atol=1e-6)


def test_fingerprints_are_of_weights_and_of_the_function(
    hub_source, hf_source, tmp_path, vocab_file):
  folder, tensors = hub_source
  hub = ta.load_encoder(str(folder)).origin
  exact = ta.load_encoder(str(hf_source)).origin
  assert exact.weights_fingerprint == hub.weights_fingerprint
  assert exact.function_fingerprint != hub.function_fingerprint
  assert exact.fingerprint != hub.fingerprint
  name = "pooler_transform/bias"
  other = conftest.write_hugging_face(
      tmp_path / "other", {**conftest.TINY, "hidden_act": "gelu_new"},
      {**tensors, name: np.nextafter(tensors[name], 9).astype("f4")},
      vocab_file)
  other = ta.load_encoder(str(other)).origin
  assert other.weights_fingerprint != hub.weights_fingerprint
  assert other.function_fingerprint == hub.function_fingerprint
  assert other.fingerprint != hub.fingerprint


def test_vocabulary_and_casing_can_be_given(hf_source, vocab_file):
  encoder = ta.load_encoder(
      str(hf_source), vocab_file=str(vocab_file), lower_case=False)
  assert not encoder.vocabulary.lower_case
  assert not ta.load_encoder(
      str(hf_source), lower_case=False).vocabulary.lower_case


def test_casing_is_told_from_the_vocabulary(hf_source, tmp_path):
  folder = tmp_path / "x"
  shutil.copytree(hf_source, folder)
  (folder / "tokenizer_config.json").unlink()
  assert ta.load_encoder(str(folder)).vocabulary.lower_case
  vocab = (folder / "vocab.txt").read_text().replace("film", "Film")
  (folder / "vocab.txt").write_text(vocab)
  assert not ta.load_encoder(str(folder)).vocabulary.lower_case


@pytest.mark.parametrize("lower_case", [True, False])
def test_a_vocabulary_in_tokenizer_json(hf_source, tmp_path, lower_case):
  folder = tmp_path / "x"
  shutil.copytree(hf_source, folder)
  (folder / "vocab.txt").unlink()
  (folder / "tokenizer_config.json").unlink()
  tokenizer = {
      "model": {"type": "WordPiece", "vocab": {
          token: i for i, token in reversed(
              list(enumerate(conftest.TOKENS)))}},
      "normalizer": {"type": "BertNormalizer", "lowercase": lower_case}}
  (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
  vocabulary = ta.load_encoder(str(folder)).vocabulary
  assert vocabulary.tokens == tuple(conftest.TOKENS)
  assert vocabulary.lower_case == lower_case
  tokenizer["model"]["type"] = "BPE"
  (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
  with pytest.raises(ta.InputError, match="not a vocabulary of byte-level BPE"):
    ta.load_encoder(str(folder))


def test_an_encoder_is_no_source(hf_source):
  with pytest.raises(ta.InputError, match="its folder, not by a BertEncoder"):
    ta.load_encoder(ta.load_encoder(hf_source))


def test_loads_under_a_strategy(hf_source, batch):
  expected = ta.load_encoder(str(hf_source))(batch)["pooled_output"]
  with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
    encoder = ta.load_encoder(str(hf_source))
  np.testing.assert_array_equal(encoder(batch)["pooled_output"], expected)


def test_description(sources):
  rows = describe_encoder(str(sources["tf1"]))
  assert rows["format"] == "TF1 checkpoint"
  assert rows["architecture"] == (
      "3 layers, hidden size 32, 4 heads, intermediate size 48")
  encoder = ta.load_encoder(str(sources["tf1"]))
  assert rows["fingerprint"] == encoder.origin.fingerprint
  assert rows["weights fingerprint"] == encoder.origin.weights_fingerprint
  assert rows["function fingerprint"] == encoder.origin.function_fingerprint
  assert rows["parameters"] == f"{encoder.count_params():,}"
  assert rows["left out"].startswith("9 tensors: ")
  rows = describe_encoder(str(sources["garden"]))
  assert "--vocab_file" in rows["tokenizer"]


@pytest.mark.parametrize("source, message", [
    ("bert_base_uncase", "did you mean bert_base_uncased"),
    ("no/such/folder", "neither an alias, a URL nor a path"),
    ("", "neither an alias, a URL nor a path|not a BERT"),
    ("http://127.0.0.1:9/bert/4", "cannot be fetched: Connection refused; .*"
     "a local folder"),
    ("gs://bucket/bert/4", "expected a URL that begins with https"),
    ("google/deberta_base/3", "deberta is no BERT"),
    ("https://tfhub.dev/google/tn_bert/1", "TN-BERT has no feed-forwards"),
    ("google/sentence-t5/st5-base/1", "positions are relative"),
    ("tn_bert", "networks of tensors"),
])
def test_unknown_sources_are_refused(source, message):
  with pytest.raises(ta.InputError, match=message):
    open_checkpoint(source)


@pytest.mark.slow
def test_minilm_as_a_hub_saved_model(tmp_path):
  """The demo's encoder through the official exporter and back."""
  source = open_checkpoint("minilm_l6")
  # To tf-models "gelu" is the tanh approximation.
  config = {**source.config.to_dict(), "hidden_act": "gelu"}
  tensors = {name: source.tensor(name) for name in names.shapes(source.config)}
  vocab = source.path / "vocab.txt"
  conftest.export_hub(tmp_path / "minilm", config, vocab, tensors)
  encoder = ta.load_encoder(str(tmp_path / "minilm"))
  text = encoder.text_processor(64)
  inputs = text(
      ["He said the foodservice pie business doesn 't fit.", "Yes", "", "😀"],
      ["The foodservice pie business does not fit our strategy .", "", "No!",
       " ".join(["long"] * 100)])
  ours, theirs = encoder(inputs), hub.load(str(tmp_path / "minilm"))(inputs)
  text = inputs["input_mask"].numpy().astype(bool)
  for name, chosen in (("sequence_output", text), ("pooled_output", ...)):
    np.testing.assert_allclose(
        ours[name].numpy()[chosen], theirs[name].numpy()[chosen], atol=1e-5)
  # At padding float32 has fewer digits: there the Hub's own outputs, too, are
  # up to 9e-5 away from float64's.
  np.testing.assert_allclose(
      ours["sequence_output"], theirs["sequence_output"], atol=1e-4)


@pytest.mark.slow
def test_minilm_is_what_transformers_computes():
  transformers = pytest.importorskip("transformers")
  torch = pytest.importorskip("torch")
  source = open_checkpoint("minilm_l6")
  encoder = ta.load_encoder("minilm_l6")
  theirs = transformers.BertModel.from_pretrained(source.path).eval()
  inputs = encoder.text_processor(64)(
      ["He said so.", "A moving film, and long besides: 😀!"],
      ["So he said.", ""])
  with torch.inference_mode():
    outputs = theirs(
        input_ids=torch.tensor(inputs["input_word_ids"].numpy()).long(),
        attention_mask=torch.tensor(inputs["input_mask"].numpy()).long(),
        token_type_ids=torch.tensor(inputs["input_type_ids"].numpy()).long())
  ours = encoder(inputs)
  mask = inputs["input_mask"].numpy().astype(bool)
  np.testing.assert_allclose(
      ours["sequence_output"].numpy()[mask],
      outputs.last_hidden_state.numpy()[mask], atol=1e-5)
  np.testing.assert_allclose(
      ours["pooled_output"], outputs.pooler_output.numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind, options", [
    ("BertModel", {}),
    ("BertModel", {"max_shard_size": "20KB"}),
    ("BertForPreTraining", {}),
    ("BertForSequenceClassification", {}),
    ("BertForMaskedLM", {"max_shard_size": "20KB"}),
    ("BertForQuestionAnswering", {}),
])
def test_what_transformers_writes(tmp_path, kind, options):
  transformers = pytest.importorskip("transformers")
  torch = pytest.importorskip("torch")
  config = transformers.BertConfig(**conftest.TINY)
  model = getattr(transformers, kind)(config).eval()
  model.save_pretrained(tmp_path, **options)
  ids = np.random.default_rng(0).integers(0, 80, [3, 9])
  mask = np.arange(9) < np.array([[9], [4], [1]])
  ours = ta.load_encoder(str(tmp_path))({
      "input_word_ids": ids.astype("i4"), "input_mask": mask.astype("i4"),
      "input_type_ids": np.zeros_like(ids, "i4")})
  bert = model if kind == "BertModel" else model.bert
  with torch.inference_mode():
    theirs = bert(input_ids=torch.tensor(ids),
                  attention_mask=torch.tensor(mask).long())
  np.testing.assert_allclose(
      ours["sequence_output"].numpy()[mask],
      theirs.last_hidden_state.numpy()[mask], atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_loading_takes_little_more_than_the_weights():
  # A process of its own: memory is counted from that of its parent.
  done = subprocess.run(
      [sys.executable, ROOT / "benchmarks" / "load_encoder.py", "--layers=4"],
      capture_output=True, text=True, check=True,
      env={**os.environ, "PYTHONPATH": str(ROOT)})
  results = json.loads(done.stdout)
  for name in ("tf1", "hugging_face", "hub"):
    assert results[name]["times_the_weights"] < 2, name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_bfloat16"])
def test_large_arrays_are_assigned_by_some_rows_at_a_time(
    one_layer_source, monkeypatch, dtype):
  def values():
    encoder = ta.load_encoder(one_layer_source, dtype=dtype)
    return {name: variable.numpy()
            for name, variable in encoder.base_variables().items()}

  whole = values()
  # No number of rows that all arrays could be divided by.
  monkeypatch.setattr(serialization, "_PART_BYTES", 7 * whole[
      "word_embeddings/embeddings"][:1].nbytes)
  for name, array in values().items():
    np.testing.assert_array_equal(array, whole[name], name)


@pytest.mark.parametrize("rows", [2, 4])
@pytest.mark.parametrize("part", [1, 1 << 24])
def test_arrays_of_another_shape_are_not_assigned(monkeypatch, rows, part):
  monkeypatch.setattr(serialization, "_PART_BYTES", part)
  variable = tf.Variable(tf.zeros([3, 5]), name="table")
  with pytest.raises(ValueError, match=r"table.* \(3, 5\).* \(\d, 5\)"):
    serialization.assign(variable, np.ones([rows, 5]))
  assert not variable.numpy().any()


def test_loading_draws_as_building_does(hf_source):
  source = str(hf_source)

  def adapters(build):
    tf_keras.utils.set_random_seed(7)
    return {name: v.numpy() for name, v in build().named_variables().items()
            if "adapter" in name}

  config = ta.load_encoder(source).config
  loaded = adapters(lambda: ta.load_encoder(source, ta.AdapterConfig(4)))
  built = adapters(lambda: ta.BertEncoder(
      config, ta.TaskLayers(config, ta.AdapterConfig(4))))
  assert all(array.any() for name, array in loaded.items()
             if name.endswith("kernel"))
  for name, array in loaded.items():
    np.testing.assert_array_equal(array, built[name])


def test_the_method_has_an_older_name(one_layer_source):
  method = ta.AdapterConfig(size=2)
  assert ta.load_encoder(one_layer_source, adapters=method).method == method
  with pytest.raises(ta.InputError, match="older name of method"):
    ta.load_encoder(one_layer_source, method, adapters=method)
