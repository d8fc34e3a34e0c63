import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tensorflow_hub as hub

import tf_adapters as ta
from tests import conftest, reference
from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.sources import open_checkpoint
from tf_adapters.modeling.encoder import BertEncoder


def test_names_and_shapes_are_the_encoders():
  config = ta.BertConfig(
      vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
      intermediate_size=12, max_position_embeddings=7)
  variables = BertEncoder(config).base_variables()
  assert {n: tuple(v.shape) for n, v in variables.items()} == names.shapes(
      config)


def test_names_and_shapes_are_the_hubs(hub_source):
  _, tensors = hub_source
  config = ta.BertConfig(**{**conftest.TINY, "hidden_act": "gelu_tanh"})
  assert names.shapes(config) == {n: a.shape for n, a in tensors.items()}


def test_hub_saved_model_is_rebuilt(hub_source, batch):
  folder, tensors = hub_source
  encoder = ta.load_encoder(str(folder))
  assert encoder.config.num_attention_heads == 4
  assert encoder.config.hidden_act == "gelu_tanh"
  assert encoder.vocabulary.tokens == tuple(conftest.TOKENS)
  assert encoder.vocabulary.lower_case
  for name, variable in encoder.named_variables().items():
    np.testing.assert_array_equal(variable, tensors[name], name)
  ours, theirs = encoder(batch), hub.load(str(folder))(batch)
  for name in ("sequence_output", "pooled_output", "default"):
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)
  for mine, other in zip(ours["encoder_outputs"], theirs["encoder_outputs"]):
    np.testing.assert_allclose(mine, other, atol=1e-5)


def test_hugging_face_folder_is_rebuilt(hub_source, hf_source, batch):
  _, tensors = hub_source
  encoder = ta.load_encoder(str(hf_source))
  assert encoder.config.hidden_act == "gelu"
  outputs = encoder(batch)
  inputs = {name: value.numpy() for name, value in batch.items()}
  sequence, pooled = reference.bert(
      tensors, inputs["input_word_ids"], inputs["input_mask"],
      inputs["input_type_ids"])
  np.testing.assert_allclose(outputs["sequence_output"], sequence, atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)


def rewrite(hf_source, folder, change):
  """A copy of the Hugging Face folder with other tensors."""
  shutil.copytree(hf_source, folder)
  tensors = safetensors.numpy.load_file(folder / "model.safetensors")
  safetensors.numpy.save_file(change(tensors), folder / "model.safetensors")
  return str(folder)


@pytest.mark.parametrize("change", [
    lambda t: {f"bert.{n}": a for n, a in t.items()},
    lambda t: {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"): a for n, a in t.items()},
    lambda t: {**t, "embeddings.position_ids": np.arange(40)[None]},
])
def test_hugging_face_spellings(hf_source, tmp_path, change):
  encoder = ta.load_encoder(rewrite(hf_source, tmp_path / "x", change))
  assert encoder.origin.fingerprint == ta.load_encoder(
      str(hf_source)).origin.fingerprint


def test_fingerprint_is_of_weights_and_activation(
    hub_source, hf_source, tmp_path, vocab_file):
  folder, tensors = hub_source
  same = conftest.write_hugging_face(
      tmp_path / "same", {**conftest.TINY, "hidden_act": "gelu_new"}, tensors,
      vocab_file)
  hub_print = ta.load_encoder(str(folder)).origin.fingerprint
  assert ta.load_encoder(str(same)).origin.fingerprint == hub_print
  assert ta.load_encoder(str(hf_source)).origin.fingerprint != hub_print
  name = "pooler_transform/bias"
  other = conftest.write_hugging_face(
      tmp_path / "other", {**conftest.TINY, "hidden_act": "gelu_new"},
      {**tensors, name: np.nextafter(tensors[name], 9).astype("f4")},
      vocab_file)
  assert ta.load_encoder(str(other)).origin.fingerprint != hub_print


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


def test_loads_under_a_strategy(hf_source, batch):
  expected = ta.load_encoder(str(hf_source))(batch)["pooled_output"]
  with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
    encoder = ta.load_encoder(str(hf_source))
  np.testing.assert_array_equal(encoder(batch)["pooled_output"], expected)


def drop(name):
  return lambda t: {n: a for n, a in t.items() if n != name}


def shape(name, *dims):
  return lambda t: {**t, name: np.zeros(dims, np.float32)}


@pytest.mark.parametrize("change, message", [
    (drop("encoder.layer.1.output.dense.bias"),
     "no tensor for transformer/layer_1/output/bias"),
    (shape("encoder.layer.0.attention.self.key.weight", 32, 16),
     r"key.weight has shape \[16, 32\], expected \[32, 32\]"),
    (shape("embeddings.word_embeddings.weight", 5, 32), r"shape \[5, 32\]"),
    (shape("pooler.dense.weight", 16, 64), r"shape \[64, 16\]"),
    (lambda t: {**t, "pooler.dense.bias": np.full([32], np.nan, "f4")},
     "pooler_transform/bias has values that are not finite"),
])
def test_damaged_tensors_are_named(hf_source, tmp_path, change, message):
  with pytest.raises(ta.InputError, match=message):
    ta.load_encoder(rewrite(hf_source, tmp_path / "x", change))


def cut(name, size):
  return lambda folder: (folder / name).write_bytes(
      (folder / name).read_bytes()[:size])


def edit(key, value):
  def change(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
  return change


@pytest.mark.parametrize("change, message", [
    (cut("model.safetensors", 5000), "model.safetensors: can not be read"),
    (cut("model.safetensors", 0), "model.safetensors: can not be read"),
    (lambda f: (f / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
     "Git LFS pointer"),
    (edit("hidden_act", ["gelu"]), "unknown hidden_act"),
    (edit("layer_norm_eps", None), "layer_norm_eps must be positive"),
    (cut("config.json", 30), "config.json: not readable as JSON"),
    (cut("vocab.txt", 20), "the vocabulary lacks"),
    (edit("model_type", "electra"), "model_type is 'electra'"),
    (edit("hidden_act", "mish"), "unknown hidden_act 'mish'"),
    (edit("position_embedding_type", "relative_key"), "relative_key"),
    (edit("num_hidden_layers", 9), "no tensor for transformer/layer_3"),
    (edit("num_attention_heads", 5), "not a multiple"),
    (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
    (lambda f: (f / "config.json").unlink(), "not a checkpoint that can be"),
])
def test_damaged_hugging_face_folders_are_named(
    hf_source, tmp_path, change, message):
  folder = tmp_path / "x"
  shutil.copytree(hf_source, folder)
  change(folder)
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.load_encoder(str(folder))
  assert str(folder) in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [
    "variables/variables.index", "variables/variables.data-00000-of-00001"])
@pytest.mark.parametrize("size", [0, 500])
def test_damaged_saved_models_are_named(hub_source, tmp_path, name, size):
  folder = tmp_path / "x"
  shutil.copytree(hub_source[0], folder)
  cut(name, size)(folder)
  with pytest.raises(ta.InputError, match="can not be read") as caught:
    ta.load_encoder(str(folder))
  assert str(folder) in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_saved_model_that_is_no_bert_is_refused(tmp_path):
  module = tf.Module()
  module.v = tf.Variable([1.0])
  tf.saved_model.save(module, str(tmp_path))
  with pytest.raises(ta.InputError, match="not a BERT"):
    ta.load_encoder(str(tmp_path))


@pytest.mark.parametrize("source, message", [
    ("bert_base_uncase", "did you mean bert_base_uncased"),
    ("no/such/folder", "neither an alias, a URL nor a path"),
    ("http://127.0.0.1:9/bert/4", "can not be fetched"),
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
