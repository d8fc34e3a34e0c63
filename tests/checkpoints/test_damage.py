"""Damaged and wrong sources: one line that names the file and what is wrong."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tf_adapters as ta
from tests import conftest
from tests.checkpoints import writers

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def refuse(source, message):
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.load_encoder(str(source))
  assert str(source).split("/x")[0] in str(caught.value)
  assert "\n" not in str(caught.value)


def copy(source, tmp_path):
  """A copy that can be damaged, with links resolved."""
  return shutil.copytree(source, tmp_path / "x")


def cut(name, size):
  return lambda folder: (folder / name).write_bytes(
      (folder / name).read_bytes()[:size])


def text(name, content):
  return lambda folder: (folder / name).write_text(content)


def edit(key, value, name="config.json"):
  def change(folder):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
  return change


def delete(name):
  return lambda folder: (folder / name).unlink()


def tensors(change):
  """Rewrites model.safetensors."""
  def rewrite(folder):
    path = folder / "model.safetensors"
    safetensors.numpy.save_file(
        change(safetensors.numpy.load_file(path)), path)
  return rewrite


def drop(name):
  return lambda t: {n: a for n, a in t.items() if n != name}


def add(name, *dims, dtype=np.float32):
  return lambda t: {**t, name: np.zeros(dims, dtype)}


@pytest.mark.parametrize("change, message", [
    (cut("model.safetensors", 5000), "model.safetensors: cannot be read"),
    (cut("model.safetensors", 0), "model.safetensors: cannot be read"),
    (text("model.safetensors", LFS), "model.safetensors: .* Git LFS pointer"),
    (text("vocab.txt", LFS), "vocab.txt: .* Git LFS pointer"),
    (edit("hidden_act", ["gelu"]), "unknown hidden_act"),
    (edit("hidden_act", "mish"), "unknown hidden_act 'mish'"),
    (edit("layer_norm_eps", None), "layer_norm_eps must be positive"),
    (cut("config.json", 30), "config.json: not readable as JSON"),
    (cut("vocab.txt", 20), "the vocabulary lacks"),
    (edit("model_type", "xlnet"), "model_type is 'xlnet'"),
    (edit("model_type", "distilbert"), "no DistilBERT has a tensor"),
    (edit("is_decoder", True), "is a decoder"),
    (edit("position_embedding_type", "relative_key"), "relative_key"),
    (edit("num_hidden_layers", 9), "no tensor for transformer/layer_3"),
    (edit("num_hidden_layers", 2),
     r"encoder.layer.2.\S+, but the encoder has only 2 layers"),
    (edit("vocab_size", 88),
     r"word_embeddings.weight has shape \[89, 32\], expected \[88, 32\]"),
    (edit("hidden_size", 10**9), "shape"),
    (edit("num_attention_heads", 5), "not a multiple"),
    (delete("model.safetensors"), "has no model.safetensors"),
    (delete("config.json"), "not a BERT .* it holds model.safetensors"),
    (lambda folder: (folder / "model.safetensors").rename(
        folder / "pytorch_model.bin"),
     r"pytorch_model.bin: is not opened, .*save_pretrained\(NEW_FOLDER\)"),
    (tensors(drop("encoder.layer.1.output.dense.bias")),
     "no tensor for transformer/layer_1/output/bias"),
    (tensors(drop("pooler.dense.bias")), "no tensor for pooler_transform/bias"),
    (tensors(add("encoder.layer.1.adapter.weight", 2)),
     "no BERT has a tensor encoder.layer.1.adapter.weight"),
    (tensors(add("encoder.layer.0.attention.self.key.weight", 32, 16)),
     r"key.weight has shape \[32, 16\], expected \[32, 32\]"),
    (tensors(add("embeddings.word_embeddings.weight", 5, 32)),
     r"shape \[5, 32\]"),
    (tensors(add("pooler.dense.weight", 32, 32, dtype=np.int8)),
     "pooler.dense.weight holds int8"),
    (tensors(lambda t: {**t, "pooler.dense.bias": np.full(32, np.nan, "f4")}),
     "pooler_transform/bias has values that are not finite"),
])
def test_hugging_face_folders(hf_source, tmp_path, change, message):
  folder = copy(hf_source, tmp_path)
  change(folder)
  refuse(folder, message)


@pytest.mark.parametrize("change, message", [
    (cut("model-00002-of-00003.safetensors", 900), "model-00002.*not be read"),
    (delete("model-00003-of-00003.safetensors"), "model-00003"),
    (text("model.safetensors.index.json", "{"), "not readable as JSON"),
    (text("model.safetensors.index.json", "{}"), "has no weight_map"),
    (text("model.safetensors.index.json",
          '{"weight_map": {"a": "../x/model-00001-of-00003.safetensors"}}'),
     "is not the name of a file beside it"),
    (text("model.safetensors.index.json",
          '{"weight_map": {"a": "model-00001-of-00003.safetensors"}}'),
     "has no tensor a"),
])
def test_sharded_hugging_face_folders(sources, tmp_path, change, message):
  folder = copy(sources["hugging_face_sharded"], tmp_path)
  change(folder)
  refuse(folder, message)


@pytest.mark.parametrize("change, message", [
    (lambda t: {n: a for n, a in t.items()
                if n != "bert/encoder/layer_1/output/dense/bias"},
     "no tensor for transformer/layer_1/output/bias"),
    (add("bert/encoder/layer_1/output/adapters/biases1", 2),
     "no BERT has a tensor bert/encoder/layer_1/output/adapters/biases1"),
    (add("bert/pooler/dense/kernel", 32, 31), r"has shape \[32, 31\]"),
    (add("bert/pooler/dense/bias", 32, dtype=np.int32), "holds int32"),
    (lambda t: {"electra/x": np.zeros(1)}, "not an ELECTRA"),
    (lambda t: {"x": np.zeros(1)}, "not a BERT"),
])
def test_tensors_of_tf1_checkpoints(
    tmp_path, bert_weights, vocab_file, change, message):
  refuse(writers.write_tf1_checkpoint(
      tmp_path / "x", conftest.TINY, vocab_file, bert_weights, change),
         message)


@pytest.mark.parametrize("change, message", [
    (cut("bert_model.ckpt.data-00000-of-00001", 900), "cannot be read"),
    (cut("bert_model.ckpt.index", 100), "cannot be read"),
    (delete("bert_model.ckpt.data-00000-of-00001"), "cannot be read"),
    (text("bert_model.ckpt.data-00000-of-00001", LFS), "LFS pointer"),
    (text("bert_config.json", "[]"), "bert_config.json: expected a JSON obj"),
    (edit("hidden_act", "mish", "bert_config.json"), "unknown hidden_act"),
    (edit("vocab_size", 7, "bert_config.json"), r"expected \[7, 32\]"),
    (delete("bert_config.json"), "expected bert_config.json beside it"),
    (lambda folder: (folder / "vocab.txt").write_text(
        (folder / "vocab.txt").read_text() + "one\ntoo\nmany\n"),
     "the vocabulary has 92 tokens, the table of word embeddings 89 rows"),
])
def test_files_of_tf1_checkpoints(sources, tmp_path, change, message):
  folder = copy(sources["tf1"], tmp_path)
  change(folder)
  refuse(folder, message)


@pytest.mark.parametrize("name", ["hub_v4", "hub_v1", "tf1_hub"])
@pytest.mark.parametrize("change, message", [
    (cut("variables/variables.index", 0), "cannot be read"),
    (cut("variables/variables.index", 500), "cannot be read"),
    (cut("variables/variables.data-00000-of-00001", 500), "cannot be read"),
    (delete("variables/variables.data-00000-of-00001"), "cannot be read"),
    (text("saved_model.pb", LFS), "saved_model.pb: .*LFS pointer"),
    (text("saved_model.pb", "nonsense"), "saved_model.pb: cannot be read"),
    (cut("saved_model.pb", 0), "saved_model.pb: cannot be read"),
    (text("assets/vocab.txt", "a\nb\n"), "vocab.txt: the vocabulary lacks"),
    (text("assets/more.txt", "a\nb\n"), "2 files that may be the vocabulary"),
])
def test_saved_models(sources, tmp_path, name, change, message):
  folder = copy(sources[name], tmp_path)
  change(folder)
  refuse(folder, message)


def test_a_saved_model_that_is_no_bert(tmp_path):
  module = tf.Module()
  module.v = tf.Variable([1.0])
  tf.saved_model.save(module, str(tmp_path))
  refuse(tmp_path, "not a BERT")


def test_layer_norms_before_the_sub_layers_are_no_bert(tmp_path, sources):
  folder = copy(sources["hub_v4"], tmp_path)
  path = folder / "keras_metadata.pb"
  path.write_bytes(path.read_bytes().replace(
      b'"norm_first": false', b'"norm_first": true '))
  refuse(folder, "layer norms come before the sub-layers")


def test_a_missing_vocabulary_is_asked_for(tmp_path, sources, vocab_file):
  folder = copy(sources["hub_v4"], tmp_path)
  delete("assets/vocab.txt")(folder)
  encoder = ta.load_encoder(str(folder))
  with pytest.raises(ta.InputError, match="--vocab_file .*--do_lower_case"):
    encoder.text_processor()
  assert ta.load_encoder(
      str(folder), vocab_file=str(vocab_file)).vocabulary.lower_case


def test_a_vocabulary_that_is_too_short_is_told(tmp_path, sources, caplog):
  folder = copy(sources["tf1"], tmp_path)
  cut("vocab.txt", 200)(folder)
  ta.load_encoder(str(folder))
  assert "the table of word embeddings 89 rows" in caplog.text


def test_tensors_that_no_bert_has_are_told(tmp_path, hf_source, caplog):
  folder = copy(hf_source, tmp_path)
  tensors(add("crf.transitions", 3, 3))(folder)
  ta.load_encoder(str(folder))
  assert "left out what no BERT has: crf.transitions" in caplog.text


def test_one_of_several_checkpoints(tmp_path, sources):
  folder = copy(sources["garden_trained"], tmp_path)
  expected = ta.load_encoder(str(folder)).origin.fingerprint
  assert ta.load_encoder(
      str(folder / "ckpt-1")).origin.fingerprint == expected
  text("checkpoint", 'model_checkpoint_path: "/etc/ckpt-1"\n')(folder)
  assert ta.load_encoder(str(folder)).origin.fingerprint == expected
  delete("checkpoint")(folder)
  refuse(folder, "holds 2 checkpoints; give one of them: ckpt-1, ckpt-2")


@pytest.mark.parametrize("make, message", [
    (lambda folder: folder, "it is empty"),
    (lambda folder: folder / "a.bin", "is not opened"),
    (lambda folder: folder / "a.h5", "not a checkpoint that can be read"),
])
def test_files_and_folders_of_other_kinds(tmp_path, make, message):
  path = make(tmp_path)
  if path != tmp_path:
    path.write_bytes(b"x")
  refuse(path, message)
