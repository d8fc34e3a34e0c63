"""Families of encoders beside BERT: what holds for each of them.

The goldens are what transformers computes: see make_family_goldens.py.
"""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tf_keras
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import layers, networks
from official.nlp.tools import export_tfhub_lib

import tf_adapters as ta
from tests import conftest, sentence_piece_reference
from tests.adapters import make, with_random_values
from tests.checkpoints import writers
from tests.tools.calling import call
from tf_adapters.checkpoints import hub_export, sources
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.modeling.encoders.deberta_layers import bucket_rows
from tf_adapters.modeling.encoders.table import ENCODERS, family_of
from tf_adapters.modeling.methods.places import PROJECTIONS
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.stacked_layers import StackedModel
from tf_adapters.tools import convert, inspect

slow = pytest.mark.slow
GOLDENS = pathlib.Path(__file__).parent / "families"
VOCABULARIES = GOLDENS.parents[1] / "modeling" / "vocabularies" / "goldens"
OF_TRANSFORMERS = ("albert", "distilbert", "electra", "mobilebert", "roberta",
                   "xlm-roberta", "modernbert", "deberta-v2")
# Of each method one, which does something in every layer.
METHODS = [
    ta.AdapterConfig(size=4), ta.LoraConfig(rank=2, targets=PROJECTIONS),
    ta.LoraConfig(rank=2, dora=True, targets=("query", "output")),
    ta.IA3Config.preset("peft"), ta.PrefixConfig(length=3, bottleneck_size=4),
    ta.CompacterConfig(size=4), ta.UnionConfig.preset("mam")]
# MobileBERT has no place for methods at its feed-forwards.
NARROW = [
    ta.AdapterConfig(size=4), ta.LoraConfig(rank=2, targets=PROJECTIONS[:4]),
    ta.LoraConfig(rank=2, dora=True, targets=("query", "value")),
    ta.IA3Config(scaled_inputs=None), METHODS[4], METHODS[5], METHODS[6]]
# What begins as nothing at all.
NEUTRAL = [ta.AdapterConfig(size=4, init_scale=0.0), ta.LoraConfig(rank=2),
           ta.IA3Config(scaled_inputs=None)]


@pytest.fixture(scope="module", params=OF_TRANSFORMERS)
def source(request, tmp_path_factory):
  """A tiny encoder of a family as a folder, and what it is to compute."""
  return read_golden(request.param, tmp_path_factory)


def read_golden(name, tmp_path_factory):
  golden = dict(np.load(GOLDENS / f"{name}.npz"))
  folder = tmp_path_factory.mktemp("families") / name
  folder.mkdir()
  (folder / "config.json").write_text(str(golden["config"]))
  safetensors.numpy.save_file(
      {key.removeprefix("tensor "): array for key, array in golden.items()
       if key.startswith("tensor ")}, folder / "model.safetensors")
  write_vocabulary(folder, name)
  return types.SimpleNamespace(
      name=name, folder=folder,
      methods=NARROW if name == "mobilebert" else METHODS, golden=golden,
      encoder=ta.load_encoder(folder),
      mask=golden["mask"].astype(bool),
      inputs={f"input_{key}": golden[key]
              for key in ("word_ids", "mask", "type_ids")})


def write_vocabulary(folder, name):
  kind, = ENCODERS[name].vocabularies
  if kind == "wordpiece":
    (folder / "vocab.txt").write_text("\n".join(conftest.TOKENS) + "\n")
  elif kind in ("albert", "fairseq", "sentencepiece"):
    (folder / "spiece.model").write_bytes(sentence_piece_reference.train(kind))
  elif kind == "byte_pairs":
    for path in (VOCABULARIES / name).glob("*"):
      (folder / path.name).write_bytes(path.read_bytes())


def in_time(*names):
  """All families, those of other names among the slow tests."""
  return pytest.mark.parametrize("source", [
      pytest.param(name, marks=[] if name in names else [slow])
      for name in OF_TRANSFORMERS], indirect=True)


def test_outputs_are_those_of_transformers(source, capfd):
  encoder = source.encoder
  assert encoder.family == encoder.config.family == source.name
  outputs = encoder(source.inputs)
  np.testing.assert_allclose(
      outputs["sequence_output"].numpy()[source.mask],
      source.golden["sequence_output"][source.mask], atol=1e-5)
  if "pooled_output" in source.golden:
    np.testing.assert_allclose(
        outputs["pooled_output"], source.golden["pooled_output"], atol=1e-5)
  family = family_of(encoder.config)
  assert family.shapes(encoder.config) == {
      name: tuple(variable.shape)
      for name, variable in encoder.base_variables().items()}
  assert call(inspect, f"--encoder={source.folder}") == 0
  printed = capfd.readouterr().out
  for text in (f"{encoder.count_params():,}", encoder.origin.fingerprint,
               encoder.vocabulary.description()):
    assert text in printed
  copy = type(encoder).from_config(encoder.get_config())
  assert copy.config == encoder.config


@in_time("albert")
def test_methods(source):
  plain = source.encoder(source.inputs)["encoder_outputs"]
  for method in NEUTRAL:
    encoder = ta.load_encoder(source.folder, method)
    np.testing.assert_array_equal(
        encoder(source.inputs)["encoder_outputs"][1], plain[1])
  for method in source.methods:
    # In one layer alone, also where it shares its weights with the other.
    encoder = with_random_values(
        ta.load_encoder(source.folder, method.in_layers([1], 2)))
    outputs = encoder(source.inputs)["encoder_outputs"]
    np.testing.assert_array_equal(outputs[0], plain[0])
    assert np.abs(outputs[1] - plain[1]).max() > 1e-3


@in_time("albert")
def test_rows_of_many_tasks(source):
  tasks, expected = [], []
  for seed, method in enumerate(source.methods):
    encoder = with_random_values(
        ta.load_encoder(source.folder, method), seed, stddev=0.05)
    model = ta.TextClassifier(encoder, 2, pooling="mean")
    tasks.append(TaskArrays.of(
        encoder.config, method, "mean",
        {name: variable.numpy()
         for name, variable in model.tuned_variables().items()},
        source.encoder.projection_weights))
    expected.append(model(source.inputs))
  stacked = StackedModel(source.encoder, "mean")
  together = stacked.no_tasks().with_tasks(tasks)
  outputs = stacked(
      together.keys, together.tensors, {
          name: tf.tile(rows, [len(tasks), 1])
          for name, rows in source.inputs.items()},
      tf.repeat(tf.range(1, 1 + len(tasks)), 3))
  np.testing.assert_allclose(
      outputs["texts"][:, :2], np.concatenate(expected), atol=1e-5)


def golden_of(name):
  return pytest.mark.parametrize("source", [name], indirect=True)


def again(source, folder, **changes):
  """The same folder with another config.json."""
  folder.mkdir()
  config = json.loads((source.folder / "config.json").read_text())
  (folder / "config.json").write_text(json.dumps(config | changes))
  (folder / "model.safetensors").hardlink_to(
      source.folder / "model.safetensors")
  return folder


def arrays(encoder):
  return {name: variable.numpy()
          for name, variable in encoder.base_variables().items()}


def fingerprint(path):
  return ta.load_encoder(path).origin.fingerprint


def write_tf1(path, config, tensors):
  """A TF1 checkpoint, and its configuration where there is one."""
  writers._save_variables(path / "model.ckpt", tensors)
  for name, values in config.items():
    (path / name).write_text(json.dumps(values))
  return path


def tf1_config(source):
  return {key: value for key, value in json.loads(
      (source.folder / "config.json").read_text()).items()
      if key in {field.name for field in dataclasses.fields(
          source.encoder.config)}}


@golden_of("electra")
def test_electra_of_google(source, tmp_path):
  tensors = arrays(source.encoder)
  named = {name.replace("bert/", "electra/"): array
           for name, array in writers.tf1_tensors(tensors).items()
           if "pooler" not in name}
  for leaf in ("kernel", "bias"):
    named[f"electra/embeddings_project/{leaf}"] = tensors[
        f"embedding_projection/{leaf}"]
  for name in ("generator/encoder/layer_0/output/dense/bias",
               "generator/embeddings_project/bias",
               "generator_predictions/dense/bias",
               "discriminator_predictions/dense/bias", "global_step"):
    named[name] = np.zeros([8], np.float32)
  path = write_tf1(tmp_path / "tf1", {
      "bert_config.json": tf1_config(source)}, named)
  assert fingerprint(path) == source.encoder.origin.fingerprint
  (path / "bert_config.json").unlink()
  with pytest.raises(ta.InputError, match="nothing tells the number of att"):
    ta.load_encoder(path)


@slow
@golden_of("electra")
def test_electra_of_the_hub(source, tmp_path, vocab_file):
  folder = tmp_path / "hub"
  conftest.export_hub(folder, tf1_config(source), vocab_file,
                      arrays(source.encoder))
  hub = ta.load_encoder(folder)
  assert hub.origin.fingerprint == fingerprint(again(
      source, tmp_path / "hf", hidden_act="gelu_new"))
  theirs = tf.saved_model.load(str(folder))(
      {name: tf.constant(rows) for name, rows in source.inputs.items()})
  for name in ("sequence_output", "pooled_output"):
    np.testing.assert_allclose(
        hub(source.inputs)[name], theirs[name], atol=1e-5)


@golden_of("electra")
def test_an_electra_with_wide_embeddings_is_a_bert(source, tmp_path):
  tensors = arrays(source.encoder)
  wide = {name: np.repeat(array, 2, axis=-1) if array.shape[-1] == 4 and
          name.split("/")[0].endswith(("embeddings", "embedding")) else array
          for name, array in tensors.items()}
  named = {f"electra.{name}": array for name, array
           in conftest.hugging_face_tensors(wide).items()
           if "pooler" not in name}
  folder = tmp_path / "wide"
  folder.mkdir()
  config = json.loads((source.folder / "config.json").read_text())
  (folder / "config.json").write_text(json.dumps(config | {
      "embedding_size": config["hidden_size"]}))
  safetensors.numpy.save_file(named, folder / "model.safetensors")
  encoder = ta.load_encoder(folder)
  # So it is what TF Hub's base and large ones are, and tasks fit both.
  assert type(encoder.config) is ta.BertConfig
  outputs = encoder(source.inputs)
  np.testing.assert_allclose(
      outputs["pooled_output"], np.tanh(outputs["sequence_output"][:, 0]),
      atol=1e-6)


ALBERT_TF1 = {
    "encoder/layer_0/attention/self": "attention_1/self",
    "encoder/layer_0/attention/output/dense": "attention_1/output/dense",
    "encoder/layer_0/attention/output/LayerNorm": "LayerNorm",
    "encoder/layer_0/intermediate/dense": "ffn_1/intermediate/dense",
    "encoder/layer_0/output/dense": "ffn_1/intermediate/output/dense",
    "encoder/layer_0/output/LayerNorm": "LayerNorm_1"}


def albert_tf1(tensors):
  """By the names of google-research/albert."""
  named = writers.tf1_tensors({
      name.replace("transformer/", "transformer/layer_0/"): array
      for name, array in tensors.items()})
  for theirs, albert in ALBERT_TF1.items():
    named = {name.replace(
        theirs, f"encoder/transformer/group_0/inner_group_0/{albert}"): array
             for name, array in named.items()}
  return named | {
      f"bert/encoder/embedding_hidden_mapping_in/{leaf}":
      tensors[f"embedding_projection/{leaf}"] for leaf in ("kernel", "bias")}


@golden_of("albert")
def test_albert_of_google(source, tmp_path):
  config = tf1_config(source) | {"hidden_act": "gelu", "num_hidden_groups": 1,
                                 "inner_group_num": 1, "net_structure_type": 0}
  named = albert_tf1(arrays(source.encoder))
  path = write_tf1(tmp_path / "tf1", {"albert_config.json": config}, named)
  # Google's gelu is Hugging Face's gelu_new, which ALBERT has there.
  assert fingerprint(path) == source.encoder.origin.fingerprint
  (path / "albert_config.json").unlink()
  with pytest.raises(ta.InputError, match="nothing tells the number of layer"):
    ta.load_encoder(path)
  write_tf1(path, {"albert_config.json": config | {
      "num_hidden_groups": 2}}, {"x": np.zeros(1)})
  with pytest.raises(ta.InputError, match="num_hidden_groups is 2"):
    ta.load_encoder(again(source, tmp_path / "hf", num_hidden_groups=2))


@golden_of("albert")
def test_albert_of_the_hub(source, tmp_path):
  config = source.encoder.config
  theirs = encoders.EncoderConfig(
      type="albert", albert=encoders.AlbertEncoderConfig(
          vocab_size=config.vocab_size, hidden_size=config.hidden_size,
          embedding_width=config.embedding_size,
          num_layers=config.num_hidden_layers,
          num_attention_heads=config.num_attention_heads,
          intermediate_size=config.intermediate_size,
          max_position_embeddings=config.max_position_embeddings,
          type_vocab_size=config.type_vocab_size, hidden_activation="gelu"))
  hub, expected = export(
      tmp_path / "hub", theirs, arrays(source.encoder), source.inputs,
      sp_model_file=str(source.folder / "spiece.model"))
  assert hub.vocabulary == source.encoder.vocabulary
  assert hub.origin.fingerprint == source.encoder.origin.fingerprint
  for name in ("sequence_output", "pooled_output"):
    np.testing.assert_allclose(
        hub(source.inputs)[name], expected[name], atol=1e-5)


def export(folder, config, weights, inputs, **assets):
  """A Hub SavedModel by tf-models' exporter: what is read, what it computes."""
  _, encoder = export_tfhub_lib._create_model(
      encoder_config=config, with_mlm=False)
  for variable in encoder.trainable_variables:
    if weights:
      variable.assign(weights[variable.name.removesuffix(":0")])
    else:
      variable.assign_add(tf.random.normal(variable.shape, stddev=0.2))
  checkpoint = tf.train.Checkpoint(model=encoder, encoder=encoder).save(
      f"{folder}_ckpt/model")
  tf_keras.backend.reset_uids()  # names of layers are counted
  export_tfhub_lib.export_model(
      str(folder), encoder_config=config, model_checkpoint_path=checkpoint,
      with_mlm=False, **assets)
  return ta.load_encoder(folder), encoder(
      {name: tf.constant(rows) for name, rows in inputs.items()})


@slow
@golden_of("mobilebert")
def test_mobilebert_of_the_hub(source, tmp_path, vocab_file):
  config = source.encoder.config
  theirs = encoders.EncoderConfig(
      type="mobilebert", mobilebert=encoders.MobileBertEncoderConfig(
          word_vocab_size=config.vocab_size, hidden_size=config.hidden_size,
          word_embed_size=config.embedding_size,
          num_blocks=config.num_hidden_layers,
          num_attention_heads=config.num_attention_heads,
          intermediate_size=config.intermediate_size,
          intra_bottleneck_size=config.intra_bottleneck_size,
          max_sequence_length=config.max_position_embeddings,
          type_vocab_size=config.type_vocab_size, hidden_activation="relu",
          key_query_shared_bottleneck=True, num_feedforward_networks=4,
          normalization_type="no_norm"))
  hub, expected = export(tmp_path / "hub", theirs, None, source.inputs,
                         vocab_file=str(vocab_file), do_lower_case=True)
  assert hub.config.to_dict() == config.to_dict() | {
      "attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.0,
      "classifier_activation": True}  # the golden is without
  for name in ("sequence_output", "pooled_output"):
    np.testing.assert_allclose(
        hub(source.inputs)[name], expected[name], atol=1e-5)


def talking_heads():
  """By tf-models' layers, as TF Hub says that its were made."""
  return networks.EncoderScaffold(
      pooled_output_dim=8, num_hidden_instances=2, dict_outputs=True,
      embedding_cfg=dict(
          vocab_size=len(conftest.TOKENS), type_vocab_size=2, hidden_size=8,
          max_seq_length=16, dropout_rate=0.1,
          initializer=tf_keras.initializers.TruncatedNormal(stddev=0.2)),
      hidden_cls=layers.TransformerScaffold,
      hidden_cfg=dict(
          num_attention_heads=2, inner_dim=12,
          inner_activation=tf_utils.get_activation("gelu"),
          attention_cls=layers.TalkingHeadsAttention,
          feedforward_cls=layers.GatedFeedforward))


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
  """A source as `read_golden` makes them, of what tf-models computes."""
  tf_keras.backend.reset_uids()  # names of layers are counted
  tf_keras.utils.set_random_seed(1)
  theirs = talking_heads()
  for variable in theirs.trainable_variables:
    variable.assign_add(tf.random.normal(variable.shape, stddev=0.2))
  folder = tmp_path_factory.mktemp("families") / "talking_heads"
  tf.train.Checkpoint(model=theirs).write(str(folder / "bert_model.ckpt"))
  (folder / "vocab.txt").write_text("\n".join(conftest.TOKENS) + "\n")
  rng = np.random.default_rng(0)
  inputs = {"input_word_ids": rng.integers(0, 89, [3, 9]).astype("i4"),
            "input_mask": (np.arange(9) < np.array(
                [[9], [4], [1]])).astype("i4"),
            "input_type_ids": rng.integers(0, 2, [3, 9]).astype("i4")}
  return types.SimpleNamespace(
      name="talking_heads", folder=folder, inputs=inputs, methods=METHODS,
      mask=inputs["input_mask"].astype(bool), model=theirs,
      encoder=ta.load_encoder(folder),
      golden={name: array.numpy()
              for name, array in theirs(inputs).items()
              if name != "encoder_outputs"})


def test_talking_heads_are_those_of_tf_models(talking, capfd):
  test_outputs_are_those_of_transformers(talking, capfd)
  assert talking.encoder.config.hidden_act == "gelu_tanh"
  test_methods(talking)


@slow
def test_talking_heads_of_the_hub(
    talking, tmp_path, monkeypatch, vocab_file, no_preprocessing):
  monkeypatch.setattr(
      encoders, "build_encoder", lambda config: talking_heads())
  hub, expected = export(tmp_path / "hub", encoders.EncoderConfig(), None,
                         talking.inputs, vocab_file=str(vocab_file),
                         do_lower_case=True)
  assert hub.config == talking.encoder.config
  for name in ("sequence_output", "pooled_output"):
    np.testing.assert_allclose(
        hub(talking.inputs)[name], expected[name], atol=1e-5)
  test_as_a_hub_saved_model(talking, tmp_path / "ours", None)
  test_rows_of_many_tasks(talking)
  test_trains_and_is_saved(talking, tmp_path)
  test_from_files_to_a_bank_and_a_saved_model(talking, tmp_path)


@golden_of("mobilebert")
def test_places_that_a_family_has_not(source):
  for method, name in ((ta.IA3Config(), "output"),
                       (ta.LoraConfig(targets=("intermediate",)),
                        "intermediate")):
    with pytest.raises(ta.InputError, match="family mobilebert has no place "
                       f"for a method at projection {name}"):
      ta.load_encoder(source.folder, method)
  with pytest.raises(ta.InputError, match="use_bottleneck is False; only Mob"):
    ta.load_encoder(again(source, source.folder / "x", use_bottleneck=False))


@golden_of("albert")
def test_layers_that_share_their_weights(source):
  encoder = ta.load_encoder(source.folder, ta.LoraConfig(rank=2))
  assert len(encoder.weights) == len(
      encoder.base_variables()) + 2 * 2 * 2  # layers, projections, A and B
  with pytest.raises(ta.InputError, match="top ones cannot train alone"):
    encoder.tune("top_layers:1")
  with pytest.raises(ta.InputError, match="it cannot be merged"):
    ta.merge(encoder)
  # Where the lower layer has no adapter, what it shares stays as it is.
  encoder = ta.load_encoder(source.folder, ta.AdapterConfig(2, layers=(1,)))
  assert encoder.frozen_prefix == 1
  assert all(name.startswith("transformer/layer_1/")
             for name in encoder.tuned_variables())


TEXTS = ["the film is good", "bad", "he said so, very!"]


@slow
def test_from_files_to_a_bank_and_a_saved_model(source, tmp_path):
  in_graph = source.encoder.vocabulary.in_graph
  if not in_graph:
    pytest.importorskip("tokenizers")
  files, expected = [], []
  for number, method in enumerate([*source.methods[:2], None]):
    model = ta.TextClassifier(with_random_values(
        ta.load_encoder(source.folder, method), number), 2, pooling="mean")
    if method is None:
      model.encoder.tune("head")
    files.append(ta.save_adapter(model, tmp_path / str(number)))
    inputs = model.encoder.text_processor()(TEXTS)
    np.testing.assert_array_equal(ta.load_adapter(files[-1])(inputs),
                                  model(inputs))
    expected.append(tf.nn.softmax(model(inputs)).numpy()[:, 1])
  bank = ta.AdapterBank(source.folder, files)
  scores = bank.predict_proba(TEXTS, list("012"))
  np.testing.assert_allclose(
      [score["1"] for score in scores],
      [expected[row][row] for row in range(3)], atol=1e-5)
  if in_graph:
    name, given = "single_texts", {"text": tf.constant(TEXTS)}
    path = ta.export_model(model, tmp_path / "served")
  else:
    name, given = "serving_default", {
        key: inputs[key] for key in ("input_word_ids", "input_mask")}
    with pytest.warns(UserWarning, match="takes input_word_ids and"):
      path = ta.export_model(model, tmp_path / "served")
      both = bank.export(tmp_path / "bank")
    scores = tf.saved_model.load(both).signatures[name](
        **given, task=tf.constant(list("012")))["scores"]
    np.testing.assert_allclose(
        scores[:, 1], [expected[row][row] for row in range(3)], atol=1e-5)
  np.testing.assert_allclose(tf.saved_model.load(path).signatures[name](
      **given)["scores"][:, 1], expected[2], atol=1e-5)


@slow
def test_tags_and_answers(source, tmp_path):
  """Of words and of windows of a context, by the family's own vocabulary."""
  if not source.encoder.vocabulary.in_graph:
    pytest.importorskip("tokenizers")
  options = SquadOptions(doc_stride=4, max_query_length=4).to_dict()
  files = {
      "words": make(source.folder, tmp_path / "words", source.methods[0],
                    "tagging", "OBI", "mean", "adapters", 16),
      "answers": make(source.folder, tmp_path / "answers", source.methods[0],
                      "span", "", "mean", "adapters", 16, True, span=options)}
  bank = ta.AdapterBank(source.folder, files)
  text = "the film is good, very good, he said so"
  tags, = bank.predict(["the film is good"], "words")
  tagger = ta.load_adapter(files["words"])
  processor = tagger.encoder.text_processor(16)
  ids, types, starts = processor.pack_words(
      tf.ragged.constant([[word for word, _ in tags]]))
  expected = np.argmax(tagger(processor.pad(ids, types))[0], axis=-1)
  assert [tag for _, tag in tags] == [
      "OBI"[expected[start]] for start in starts.to_list()[0]]
  prediction, = bank.predictions([("good?", text)], "answers")
  assert prediction.value in text


@in_time("modernbert")
def test_merged(source):
  """Weights hold what LoRA and IA3 add, also to a third of a product."""
  if source.encoder.config.shares_layers:
    pytest.skip("refused, see test_layers_that_share_their_weights")
  for method in (source.methods[1], source.methods[3]):
    encoder = with_random_values(ta.load_encoder(source.folder, method))
    np.testing.assert_allclose(
        ta.merge(encoder)(source.inputs)["sequence_output"],
        encoder(source.inputs)["sequence_output"], atol=1e-5)


@golden_of("modernbert")
def test_layer_norms_that_come_first(source):
  """The last one belongs to the top, and none has a bias in files."""
  encoder = ta.load_encoder(source.folder, ta.AdapterConfig(2, layers=(1,)))
  variables = encoder.named_variables()
  assert not variables["final_layer_norm/beta"].numpy().any()
  assert not any("layer_0" in name or name.startswith("embeddings/")
                 for name in encoder.tuned_variables())
  assert "final_layer_norm/gamma" in encoder.tuned_variables()
  encoder.tune("top_layers:1")
  assert {name.split("/")[0] for name in encoder.tuned_variables()} == {
      "transformer", "final_layer_norm"}
  assert encoder.frozen_prefix == 1
  prefix = encoder.prefix_output(source.inputs)
  np.testing.assert_allclose(encoder({
      "prefix_output": prefix, "input_mask": source.inputs["input_mask"]})[
          "sequence_output"], encoder(source.inputs)["sequence_output"],
          atol=1e-6)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(encoder(source.inputs)["sequence_output"] ** 2)
  for gradient in tape.gradient(loss, encoder.trainable_weights):
    assert np.abs(gradient).max() > 0
  with pytest.raises(ta.InputError, match="norm_bias is true"):
    ta.load_encoder(again(source, source.folder / "bias", norm_bias=True))


@golden_of("modernbert")
def test_modernberts_of_newer_files(source, tmp_path):
  """Transformers 5 writes layers and rotary positions in other words."""
  config = source.encoder.config
  kinds = [("sliding_attention", "full_attention")[config.sees_all(layer)]
           for layer in range(config.num_hidden_layers)]
  changes = dict(
      rope_parameters={
          "full_attention": {"rope_type": "default", "rope_theta": 70.0},
          "sliding_attention": {"rope_theta": config.local_rope_theta}},
      global_rope_theta=5.0, local_rope_theta=5.0, layer_types=kinds)
  found = ta.load_encoder(again(source, tmp_path / "new", **changes)).config
  assert found == dataclasses.replace(config, global_rope_theta=70.0)
  for number, others in ((1, ["full_attention"] * len(kinds)), (2, kinds)):
    found = ta.load_encoder(again(
        source, tmp_path / f"n{number}", layer_types=others,
        global_attn_every_n_layers=3 - number)).config
    assert found.global_attn_every_n_layers == number
  yarn = {"full_attention": {"rope_type": "yarn", "factor": 4.0}}
  for number, (name, value) in enumerate((
      ("rope_parameters: rope_type 'yarn'", yarn),
      ("rope_parameters", {"rope_theta": 7.0}),
      ("rope_parameters", {"full_attention": 7.0}),
      ("layer_types", kinds[::-1] if len(kinds) % 2 == 0 else kinds[1:]),
      ("layer_types", ["linear_attention"] * len(kinds)))):
    with pytest.raises(ta.InputError, match=f"config.json: {name}"):
      ta.load_encoder(again(
          source, tmp_path / str(number), **{name.split(":")[0]: value}))


@golden_of("deberta-v2")
def test_debertas_of_other_versions(source, tmp_path):
  encoder = source.encoder
  assert encoder.config.max_relative_positions == 16  # -1 in the file
  # Half of the buckets have a distance each, the last one the farthest.
  rows = bucket_rows(dataclasses.replace(
      encoder.config, max_position_embeddings=512, position_buckets=256,
      max_relative_positions=512))
  np.testing.assert_array_equal(
      rows[511 - 128:511 + 129], np.arange(384, 127, -1))
  assert (rows[0], rows[-1]) == (511, 1)
  for number, (name, value) in enumerate((
      ("conv_kernel_size", 3), ("pos_att_type", ["c2p"]),
      ("position_biased_input", True), ("norm_rel_ebd", "none"))):
    with pytest.raises(ta.InputError, match=f"config.json: {name}"):
      ta.load_encoder(again(source, tmp_path / str(number), **{name: value}))


@slow
def test_trains_and_is_saved(source, tmp_path):
  tf_keras.utils.set_random_seed(0)
  encoder = ta.load_encoder(source.folder, source.methods[0])
  before = arrays(encoder)
  model = ta.TextClassifier(encoder, 2, pooling="mean")
  model.compile(tf_keras.optimizers.Adam(0.01), model.loss_function)
  inputs = {name: tf.constant(rows) for name, rows in source.inputs.items()}
  losses = model.fit(inputs, np.array([1, 0, 1]), epochs=6, verbose=0)
  assert losses.history["loss"][-1] < losses.history["loss"][0]
  changed = {name for name, array in arrays(encoder).items()
             if (array != before[name]).any()}
  assert changed == set(before) & set(encoder.tuned_variables()) > set()
  assert all("layer_norm/" in name for name in changed)
  for name in ("model.keras", "folder"):
    model.save(tmp_path / name)
    np.testing.assert_array_equal(
        tf_keras.models.load_model(tmp_path / name)(inputs), model(inputs))


@pytest.mark.parametrize("source", [
    "distilbert", *(pytest.param(name, marks=slow)
                    for name in ("albert", "electra", "mobilebert"))],
    indirect=True)
def test_as_a_hub_saved_model(source, tmp_path, no_preprocessing):
  encoder = source.encoder
  folder = hub_export.export_hub(encoder, tmp_path / "hub", 8)
  theirs = tf.saved_model.load(str(folder))(
      {name: tf.constant(rows) for name, rows in source.inputs.items()})
  for name in ("sequence_output", "pooled_output"):
    np.testing.assert_allclose(
        theirs[name], encoder(source.inputs)[name], atol=1e-5)
  again = ta.load_encoder(folder)
  assert again.origin.fingerprint == encoder.origin.fingerprint
  assert (again.config, again.vocabulary) == (
      encoder.config, encoder.vocabulary)


@slow
@pytest.mark.parametrize("source", ["albert", "distilbert"], indirect=True)
def test_converted_with_preprocessing(source, tmp_path, capfd):
  path = tmp_path / "hub"
  assert call(convert, f"--encoder={source.folder}", f"--output={path}",
              "--preprocess_seq_length=12") == 0
  assert source.encoder.origin.fingerprint in capfd.readouterr().out
  texts = ["The film is good", "he said so, very!", ""]
  inputs = tf.saved_model.load(f"{path}_preprocess")(tf.constant(texts))
  ours = source.encoder.text_processor(12)(texts, length=12)
  np.testing.assert_array_equal(
      inputs["input_word_ids"], ours["input_word_ids"])
  np.testing.assert_allclose(
      tf.saved_model.load(str(path))(inputs)["sequence_output"],
      source.encoder(ours)["sequence_output"], atol=1e-5)


@golden_of("modernbert")
def test_no_preprocessing_of_the_hub(source, tmp_path, capfd):
  assert call(convert, f"--encoder={source.folder}",
              f"--output={tmp_path / 'hub'}") == 1
  assert "TF Hub's preprocessing is not ModernBERT's" in capfd.readouterr().err


def test_aliases_of_the_catalogue():
  handles = {url.removeprefix("https://tfhub.dev/")
             for url in sources.HUB_ALIASES.values()}
  assert len(handles) == len(sources.HUB_ALIASES) == (
      8 + 24 + 8 + 4 + 3 + 2 + 2 + 2 + 1 + 1 + 4)
  for alias, handle in (
      ("albert_xxlarge", "tensorflow/albert_en_xxlarge/3"),
      ("bert_expert_pubmed_squad2", "google/experts/bert/pubmed/squad2/2"),
      ("electra_small", "google/electra_small/2"),
      ("mobilebert_multilingual_cased",
       "tensorflow/mobilebert_multi_cased_L-24_H-128_B-512_A-4_F-4_OPT/1"),
      ("talking_heads_large", "tensorflow/talkheads_ggelu_bert_en_large/2"),
      ("use_cmlm_multilingual_base_br",
       "google/universal-sentence-encoder-cmlm/multilingual-base-br/1")):
    assert sources.locate(alias) == sources.locate(handle) == (
        f"https://tfhub.dev/{handle}")
