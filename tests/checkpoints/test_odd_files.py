"""Odd contents that real and hostile files were found to have."""

import json
import shutil

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tf_adapters as ta
from tests import conftest
from tests.checkpoints import writers
from tests.checkpoints.test_damage import copy, edit, refuse, tensors
from tf_adapters.checkpoints import hub_export, names
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.hub_export import export_hub, preprocessing_path
from tf_adapters.checkpoints.vocabulary import read_vocabulary


def test_casing_of_googles_vocabularies(tmp_path, sources):
  """Symbols and a few added words do not make a vocabulary cased."""
  folder = copy(sources["tf1"], tmp_path)
  tokens = list(conftest.TOKENS)
  tokens[-1] = "ℝ"
  (folder / "vocab.txt").write_text("\n".join(tokens))
  assert open_checkpoint(str(folder)).vocabulary.lower_case
  tokens += ["URL"] + [f"word{i}" for i in range(1000)]
  path = tmp_path / "vocab.txt"
  path.write_text("\n".join(tokens))
  assert read_vocabulary(path, None).lower_case
  path.write_text("\n".join(
      token.capitalize() if i % 9 == 0 else token
      for i, token in enumerate(tokens) if not token.startswith("["))
      + "\n[PAD]\n[UNK]\n[CLS]\n[SEP]")
  assert not read_vocabulary(path, None).lower_case


def test_the_demos_vocabulary_is_lower_cased():
  """That of BERT-base uncased, with mathematical capitals in it."""
  path = open_checkpoint("minilm_l6").path / "vocab.txt"
  assert read_vocabulary(path, None).lower_case


def test_a_vocabulary_of_windows(tmp_path, sources):
  folder = copy(sources["tf1"], tmp_path)
  (folder / "vocab.txt").write_bytes(
      b"\xef\xbb\xbf" + b"".join(
          f"{token} \r\n".encode() for token in conftest.TOKENS))
  assert open_checkpoint(str(folder)).vocabulary.tokens == tuple(
      conftest.TOKENS)


@pytest.mark.parametrize("token", ["ก" * 90, "a\0b"])
def test_what_is_no_wordpiece(tmp_path, sources, token):
  folder = copy(sources["tf1"], tmp_path)
  tokens = [*conftest.TOKENS]
  tokens[30] = token
  (folder / "vocab.txt").write_text("\n".join(tokens))
  refuse(folder, "token 30, counted from 0, (cannot be a wordpiece|has 270)")


@pytest.mark.parametrize("activation", ["swish", "relu", "gelu"])
def test_activations_survive_an_export(
    one_layer_source, tmp_path, no_preprocessing, activation):
  folder = copy(one_layer_source, tmp_path)
  edit("hidden_act", activation)(folder)
  encoder = ta.load_encoder(str(folder))
  export_hub(encoder, tmp_path / "hub", 16)
  (tmp_path / "hub" / "encoder_config.json").unlink()  # the graph tells it
  again = ta.load_encoder(str(tmp_path / "hub"))
  assert again.origin.fingerprint == encoder.origin.fingerprint


def test_activations_that_no_graph_tells(
    one_layer_source, tmp_path, no_preprocessing):
  folder = copy(one_layer_source, tmp_path)
  edit("hidden_act", "tanh")(folder)
  export_hub(ta.load_encoder(str(folder)), tmp_path / "hub", 16)
  assert ta.load_encoder(str(tmp_path / "hub")).config.hidden_act == "tanh"
  config = tmp_path / "hub" / "encoder_config.json"
  for name, message in (("t5", "encoder family 't5' is not known"),
                        ("albert", "no ALBERT has a tensor")):
    config.write_text(json.dumps({
        **json.loads(config.read_text()), "family": name}))
    refuse(tmp_path / "hub", message)
  config.unlink()
  refuse(tmp_path / "hub", "activation cannot be told")


def test_an_unknown_activation_is_not_guessed(
    tmp_path, bert_weights, vocab_file):
  folder = writers.write_hub_v1(
      tmp_path / "x", conftest.TINY, vocab_file, bert_weights, tf.identity)
  refuse(folder, "activation cannot be told .*neither gelu nor relu")


def change_graph(change):
  def rewrite(folder):
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0].graph_def)
    path.write_bytes(model.SerializeToString())
  return rewrite


def with_constant(graph, name, value):
  node = graph.node.add(name=name, op="Const")
  node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
  node.attr["dtype"].type = node.attr["value"].tensor.dtype
  return node


def rsqrt_of(op, value):
  def change(graph):
    with_constant(graph, "odd/c", value)
    graph.node.add(name="odd/sum", op=op, input=["odd/c", "odd/c"])
    graph.node.add(name="odd/root", op="Rsqrt", input=["odd/sum"])
    graph.node.add(name="odd/alone", op="Rsqrt")
  return change


def huge_constant(graph):
  rsqrt_of("AddV2", 1e-12)(graph)
  tensor = with_constant(graph, "odd/d", 1.0).attr["value"].tensor
  for _ in range(2):
    tensor.tensor_shape.dim.add(size=10**6)
  graph.node.add(name="odd/sum2", op="AddV2", input=["odd/d", "odd/d"])
  graph.node.add(name="odd/root2", op="Rsqrt", input=["odd/sum2"])


@pytest.mark.parametrize("change", [
    rsqrt_of("Mul", 64.0), rsqrt_of("Cast", 64.0), rsqrt_of("AddV2", "text"),
    rsqrt_of("AddV2", [1.0, 2.0]), huge_constant])
def test_other_roots_are_no_epsilons(sources, tmp_path, change):
  folder = copy(sources["tf1_hub"], tmp_path)
  change_graph(change)(folder)
  assert open_checkpoint(str(folder)).config.layer_norm_eps == 1e-12


@pytest.mark.parametrize("change, message", [
    (rsqrt_of("AddV2", 0.5), "epsilon of its layer norms .* 1e-12 or 0.5"),
    (lambda graph: graph.node.add(name="odd", op="Erf"), "gelu or gelu_tanh"),
])
def test_a_graph_that_contradicts_itself(sources, tmp_path, change, message):
  folder = copy(sources["tf1_hub"], tmp_path)
  change_graph(change)(folder)
  refuse(folder, message)
  # The way out that the message names.
  (folder / "bert_config.json").write_text(json.dumps(conftest.TINY))
  assert ta.load_encoder(str(folder)).origin.fingerprint == ta.load_encoder(
      str(sources["tf1_hub"])).origin.fingerprint


def test_a_ring_in_a_graph(sources, tmp_path):
  folder = copy(sources["tf1_hub"], tmp_path)
  path = folder / "saved_model.pb"
  model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
  meta = model.meta_graphs[0]
  meta.graph_def.node.add(name="ring", op="Identity", input=["ring"])
  meta.signature_def["tokenization_info"].outputs[
      "do_lower_case"].name = "ring:0"
  path.write_bytes(model.SerializeToString())
  assert open_checkpoint(str(folder)).vocabulary.lower_case  # by its tokens


@pytest.mark.parametrize("key, value, message", [
    ("position_embedding_type", "relative_key", "relative_key"),
    ("model_type", "xlnet", "xlnet"),
    ("layer_norm_eps", float("inf"), "layer_norm_eps"),
    ("num_hidden_layers", 10**9, "no tensor for transformer/layer_3/"),
    ("hidden_size", 10**400, "hidden_size"),
])
@pytest.mark.parametrize("name", ["tf1", "hugging_face"])
def test_configs(sources, tmp_path, name, key, value, message):
  folder = copy(sources[name], tmp_path)
  file = "bert_config.json" if name == "tf1" else "config.json"
  edit(key, value, file)(folder)
  refuse(folder, message)


def test_an_epsilon_in_googles_config_is_honoured(sources, tmp_path):
  folder = copy(sources["tf1"], tmp_path)
  edit("layer_norm_eps", 1e-5, "bert_config.json")(folder)
  assert open_checkpoint(str(folder)).config.layer_norm_eps == 1e-5


def test_googles_config_may_be_called_config_json(sources, tmp_path):
  folder = copy(sources["tf1"], tmp_path)
  (folder / "bert_config.json").rename(folder / "config.json")
  assert open_checkpoint(str(folder)).config.hidden_act == "gelu_tanh"


def test_a_huge_config_without_a_pooler(hf_source, tmp_path):
  folder = copy(hf_source, tmp_path)
  tensors(lambda t: {n: a for n, a in t.items() if "pooler" not in n})(folder)
  edit("hidden_size", 10**9)(folder)
  edit("num_attention_heads", 1)(folder)
  refuse(folder, "shape")


@pytest.mark.parametrize("name", [
    "transformer/layer_3000000/output/bias",
    f"transformer/layer_{'9' * 5000}/output/bias"])
def test_endless_layers(sources, tmp_path, bert_weights, vocab_file, name):
  folder = writers.write_tf1_checkpoint(
      tmp_path / "x", conftest.TINY, vocab_file, bert_weights,
      lambda t: {**t, f"bert/{name}"[:3000]: np.zeros(32, "f4")})
  refuse(folder, "no BERT has a tensor")


@pytest.mark.parametrize("name, prefix", [
    ("hub_v4", "variables/variables"), ("tf1", "bert_model.ckpt")])
def test_no_path_leads_out_of_the_folder(sources, tmp_path, name, prefix):
  folder = copy(sources[name], tmp_path)
  for file in folder.glob(f"{prefix}.data*"):
    file.unlink()
  (folder / prefix).mkdir()
  (folder / prefix / "checkpoint").write_text(
      f'model_checkpoint_path: "{sources[name] / prefix}"\n')
  refuse(folder, "is a folder, not a checkpoint")


def test_one_prefix_or_none(hf_source, tmp_path):
  folder = copy(hf_source, tmp_path)
  tensors(lambda t: {
      ("teacher." if ".layer.1." in n else "bert.") + n: a
      for n, a in t.items()})(folder)
  refuse(folder, "no tensor for transformer/layer_")


def test_averages_are_left_beside(tmp_path, bert_weights, vocab_file):
  folder = writers.write_tf1_checkpoint(
      tmp_path / "x", conftest.TINY, vocab_file, bert_weights,
      lambda t: {**t, "bert/pooler/dense/bias/ExponentialMovingAverage":
                 np.ones(32, "f4")})
  assert open_checkpoint(str(folder)).kind == "TF1 checkpoint"


def test_what_transformers_tensorflow_models_write(
    tmp_path, hf_source, bert_weights):
  """Their names and shapes, by the documentation of TFBertModel."""
  folder = copy(hf_source, tmp_path)
  named = {}
  for name, array in writers.tf1_tensors(bert_weights).items():
    name = name.replace("layer_", "layer_._")
    name = name.replace("word_embeddings", "word_embeddings/weight")
    for table in ("position", "token_type"):
      name = name.replace(f"{table}_embeddings",
                          f"{table}_embeddings/embeddings")
    named[f"tf_bert_model/{name}:0"] = array
  safetensors.numpy.save_file(named, folder / "model.safetensors")
  assert ta.load_encoder(str(folder)).origin.fingerprint == ta.load_encoder(
      str(hf_source)).origin.fingerprint


def test_weights_of_8_bits_are_refused(hf_source, tmp_path):
  folder = copy(hf_source, tmp_path)
  tensors(lambda t: {n: a.astype(ml_dtypes.float8_e4m3fn)
                     for n, a in t.items()})(folder)
  refuse(folder, "cannot be read")


def tokenizer_json(folder, **changes):
  for name in ("vocab.txt", "tokenizer_config.json"):
    (folder / name).unlink()
  values = {"model": {"type": "WordPiece", "vocab": {
      token: i for i, token in enumerate(conftest.TOKENS)}}, **changes}
  (folder / "tokenizer.json").write_text(json.dumps(values))


def test_a_tokenizer_of_older_days(hf_source, tmp_path):
  folder = copy(hf_source, tmp_path)
  vocab = {token: i for i, token in enumerate(conftest.TOKENS) if i != 4}
  tokenizer_json(folder, model={"vocab": vocab}, added_tokens=[
      {"id": 4, "content": "[MASK]"}, {"id": 0, "content": "[PAD]"}])
  assert open_checkpoint(str(folder)).vocabulary.tokens == tuple(
      conftest.TOKENS)


@pytest.mark.parametrize("vocab", [
    {"[PAD]": 0, "a": "b"}, {"[PAD]": 0, "a": None}, {"[PAD]": 1}])
def test_ids_that_are_none(hf_source, tmp_path, vocab):
  folder = copy(hf_source, tmp_path)
  tokenizer_json(folder, model={"type": "WordPiece", "vocab": vocab})
  refuse(folder, "token ids are not 0, 1, 2")


@pytest.mark.parametrize("changes, message", [
    ({"normalizer": {"type": "BertNormalizer", "clean_text": False}},
     "clean_text=False"),
    ({"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}]}}, "normalizer=NFKC"),
    ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer=Metaspace"),
])
def test_another_tokenizer_is_told(
    hf_source, tmp_path, caplog, changes, message):
  folder = copy(hf_source, tmp_path)
  tokenizer_json(folder, **changes)
  open_checkpoint(str(folder))
  assert message in caplog.text


def test_a_normalizer_in_a_sequence(hf_source, tmp_path):
  folder = copy(hf_source, tmp_path)
  tokenizer_json(folder, normalizer={"type": "Sequence", "normalizers": [
      {"type": "NFC"}, {"type": "BertNormalizer", "lowercase": False}]})
  assert not open_checkpoint(str(folder)).vocabulary.lower_case


def test_paths_that_tensorflow_can_not_open(sources, tmp_path):
  folder = shutil.copytree(sources["tf1"], tmp_path / "b [1]" / "x")
  with pytest.raises(ta.InputError, match="rename the folder"):
    ta.load_encoder(str(folder))


def test_names_that_would_break_a_line(hf_source, tmp_path):
  folder = copy(hf_source, tmp_path)
  tensors(lambda t: {**t, "encoder.evil\nerror: all is fine":
                     np.zeros(1, "f4")})(folder)
  refuse(folder, r"encoder/?\.?evil\\nerror")


@pytest.mark.parametrize("path", ["link", "dangling", "folder/in/folders"])
def test_links_are_written_through(
    one_layer_source, tmp_path, no_preprocessing, monkeypatch, path):
  monkeypatch.setattr(
      hub_export, "_save_encoder",
      lambda encoder, folder, *_: (folder / "saved_model.pb").touch())
  (tmp_path / "real").mkdir()
  (tmp_path / "link").symlink_to(tmp_path / "real")
  (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
  encoder = ta.load_encoder(str(one_layer_source))
  written = export_hub(encoder, tmp_path / path, 16)
  assert (tmp_path / "link").is_symlink()
  assert (written / "saved_model.pb").exists()
  assert (preprocessing_path(written) / "saved_model.pb").exists()
  assert not [file for file in tmp_path.rglob(".*")]


@pytest.mark.parametrize("path", ["file/sub", "n" * 300])
def test_where_nothing_can_be_written(one_layer_source, tmp_path, path):
  (tmp_path / "file").write_text("")
  encoder = ta.load_encoder(str(one_layer_source))
  with pytest.raises(ta.InputError, match="cannot be written"):
    export_hub(encoder, tmp_path / path, 16)


@pytest.mark.parametrize("source", ["~nouser/x", "x" * 300, "", "file://"])
def test_sources_that_are_none(source):
  with pytest.raises(ta.InputError, match="no encoder"):
    open_checkpoint(source)


def test_pairs_of_an_encoder_with_one_segment(tmp_path, vocab_file):
  config = {**conftest.TINY, "type_vocab_size": 1}
  rng = np.random.default_rng(0)
  folder = conftest.write_hugging_face(tmp_path / "bert", config, {
      name: rng.normal(0, 0.1, shape).astype(np.float32)
      for name, shape in names.shapes(ta.BertConfig(**config)).items()},
      vocab_file)
  encoder = ta.load_encoder(folder)
  inputs = encoder.text_processor(16)(["the film"], ["is good"])
  assert inputs["input_mask"].numpy().sum() == 7
  assert not inputs["input_type_ids"].numpy().any()
  assert np.isfinite(encoder(inputs)["sequence_output"]).all()
  # The vocabulary's fingerprint, which adapter files have, is as it was.
  assert encoder.vocabulary.special.segments
