import dataclasses
import hashlib
import json
import logging
import pickle
import shutil
import warnings

import numpy as np
import pytest
import safetensors.numpy
import tf_keras

import tf_adapters as ta
from tests import conftest
from tests.adapters import edit
from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.info import read_info
from tf_adapters.problems import find_problem


def move(model):
  """Changes what trains, as a training would."""
  rng = np.random.default_rng(0)
  for variable in model.trainable_variables:
    variable.assign_add(rng.normal(0, 0.1, variable.shape))


@pytest.fixture
def saved(encoder, tmp_path):
  """A tuned model and its adapter file."""
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  move(model)
  path = tmp_path / "mine"
  ta.save_adapter(model, path, metrics={"validation": {"accuracy": 0.5}})
  return model, path


def test_rebuilt_model_predicts_bit_identically(saved, batch):
  model, path = saved
  again = ta.load_adapter(path)
  np.testing.assert_array_equal(again(batch), model(batch))
  assert again.labels == ("no", "yes")
  assert again.encoder.tuning == "adapters"


@pytest.mark.parametrize("tuning", ["full", "top_layers:2", "bias", "head"])
@pytest.mark.parametrize("adapters", [None, ta.AdapterConfig(size=4)])
def test_every_tuning_round_trips(hf_source, batch, tmp_path, tuning, adapters):
  model = ta.TextRegressor(ta.load_encoder(str(hf_source), adapters))
  model.tune(tuning)
  move(model)
  ta.save_adapter(model, tmp_path / "x")
  again = ta.load_adapter(tmp_path / "x")
  assert isinstance(again, ta.TextRegressor)
  np.testing.assert_array_equal(again(batch), model(batch))


def test_holds_what_was_tuned_and_nothing_else(saved):
  model, path = saved
  tensors = safetensors.numpy.load_file(path / "adapter.safetensors")
  assert tensors.keys() == model.tuned_variables().keys()
  assert "transformer/layer_0/attention_adapter/down/kernel" in tensors
  assert "head/bias" in tensors


def words(encoder):
  return encoder.base_variables()["word_embeddings/embeddings"]


@pytest.mark.parametrize("change, tuning", [
    (lambda model: (model.tune("full"), move(model)), "head"),
    (lambda model: (model.tune("top_layers:1"), move(model)), "adapters"),
    (lambda model: (move(model), setattr(model, "trainable", False)), "head"),
    (lambda model: words(model.encoder).assign(
        words(model.encoder) * 1.5), "layer_norm"),
    (lambda model: model.encoder.set_weights(
        [array + 0.1 for array in model.encoder.get_weights()]), "bias"),
])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_holds_what_is_not_the_encoders(
    hf_source, batch, tmp_path, change, tuning, dtype):
  model = ta.TextRegressor(ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=4), dtype=dtype))
  change(model)
  model.tune(tuning)
  model.encoder.embeddings.trainable = False  # says nothing of values
  ta.save_adapter(model, tmp_path / "x")
  again = ta.load_adapter(tmp_path / "x", dtype=dtype)
  np.testing.assert_array_equal(again(batch), model(batch))
  assert again.encoder.tuning == tuning
  ta.save_adapter(again, tmp_path / "y")
  for name in ("adapter.safetensors", "adapter_config.json"):
    assert ((tmp_path / "y" / name).read_bytes().replace(b'"y"', b'"x"')
            == (tmp_path / "x" / name).read_bytes())


def test_changed_weights_of_the_encoder_are_in_no_bank(
    encoder, hf_source, tmp_path):
  model = ta.TextRegressor(encoder)
  words(encoder).assign(words(encoder) + 1)
  ta.save_adapter(model, tmp_path / "x")
  with pytest.raises(ta.InputError, match="its own word_embeddings.*1 weights"):
    ta.AdapterBank(str(hf_source), [tmp_path / "x"])
  with pytest.raises(ta.InputError, match="changed_base is"):
    words(encoder).assign(words(encoder) + 1)
    encoder.pooler.bias.assign_add(np.ones([32]))
    ta.save_adapter(model, tmp_path / "y")
    ta.average_adapters([tmp_path / "x", tmp_path / "y"], tmp_path / "z")
  edit(tmp_path / "x", changed_base=["head/bias"])
  with pytest.raises(ta.InputError, match="'head/bias' is no pretrained"):
    ta.load_adapter(tmp_path / "x")


def test_files_of_before_say_nothing_of_changed_weights(saved, batch):
  model, path = saved
  edit(path, changed_base=...)
  np.testing.assert_array_equal(ta.load_adapter(path)(batch), model(batch))


def test_an_encoder_of_before_is_saved_whole(saved, batch, tmp_path):
  """Keras' files of version 0.1 do not say what was loaded."""
  model, _ = saved
  encoder = model.encoder
  encoder.origin = dataclasses.replace(encoder.origin, digests={})
  words(encoder).assign(words(encoder) + 1)
  ta.save_adapter(model, tmp_path / "x")
  np.testing.assert_array_equal(
      ta.load_adapter(tmp_path / "x")(batch), model(batch))


@pytest.mark.parametrize("problem, facts", [
    ("span", {"max_length": 38, "span": {"doc_stride": 9, "n_best": 3}}),
    ("regression", {"max_length": 12, "pairs": True}),
    ("tagging", {"name": "tags of mine"})])
def test_what_a_model_knows_of_its_task_travels(
    encoder, tmp_path, problem, facts):
  model = find_problem(problem).make_model(
      encoder, "OBI" if problem == "tagging" else "")
  move(model)
  model.task = dataclasses.replace(model.task, **facts)
  ta.save_adapter(model, tmp_path / "x", metrics={"test": {"f1": 0.25}})
  again = ta.load_adapter(tmp_path / "x")
  assert again.task.metrics == {"test": {"f1": 0.25}}
  for name, value in facts.items():
    assert getattr(again.task, name) == value
  again.save(tmp_path / "m.keras")
  again = tf_keras.models.load_model(tmp_path / "m.keras")
  ta.save_adapter(again, tmp_path / "y")
  assert read_info(tmp_path / "y") == read_info(tmp_path / "x")
  again.head.linear.bias.assign_add(
      np.ones(again.head.linear.bias.shape))  # other weights than measured
  ta.save_adapter(again, tmp_path / "y", max_length=20)
  info = read_info(tmp_path / "y")
  assert info.metrics == {} and info.max_length == 20


def test_a_description_that_cannot_be_is_refused(saved):
  model, path = saved
  for values, message in (
      ({"labels": ("no", "maybe")}, "labels are no, maybe, but"),
      ({"max_length": 3}, "max_length is 3"), ({"pairs": "no"}, "pairs is"),
      ({"span": {"a": {}}}, "span is"), ({"name": None}, "name is None")):
    with pytest.raises(ta.InputError, match=message):
      model.task = dataclasses.replace(model.task, **values)
  with pytest.raises(ta.InputError, match="max_length is 0"):
    ta.save_adapter(model, path, max_length=0)


def test_a_model_that_was_never_trained_is_noted(encoder, saved, tmp_path):
  fresh = ta.TextClassifier(encoder, ["no", "yes"])
  with pytest.warns(UserWarning, match="was never trained"):
    ta.save_adapter(fresh, tmp_path / "x")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    ta.save_adapter(ta.load_adapter(saved[1]), tmp_path / "x")


def test_only_models_of_one_task_are_saved(encoder, tmp_path):
  inputs = {name: tf_keras.Input([None], dtype="int32", name=name)
            for name in ("input_word_ids", "input_mask", "input_type_ids")}
  outputs = tf_keras.layers.Dense(2)(encoder(inputs)["pooled_output"])
  for model in (tf_keras.Model(inputs, outputs), encoder):
    with pytest.raises(ta.InputError, match=(
        f"not of a {type(model).__name__}: .* their own save method")):
      ta.save_adapter(model, tmp_path / "adapter")


def test_says_what_it_is(saved, hf_source):
  model, path = saved
  values = json.loads((path / "adapter_config.json").read_text())
  assert values["task"] == "mine"
  assert values["labels"] == ["no", "yes"]
  assert values["encoder"]["source"] == str(hf_source)
  assert values["encoder"]["fingerprint"] == model.encoder.origin.fingerprint
  assert values["tokenizer"]["lower_case"] is True
  assert values["adapter"]["size"] == 8
  card = (path / "README.md").read_text()
  assert "| labels | no, yes |" in card
  assert "validation accuracy | 0.5000" in card


def test_replaces_the_old_one_whole(saved):
  model, path = saved
  (path / "README.md").write_text("of the old file")
  ta.save_adapter(model, path)
  assert "of the old file" not in (path / "README.md").read_text()
  assert sorted(p.name for p in path.iterdir()) == [
      "README.md", "adapter.safetensors", "adapter_config.json"]
  assert [p.name for p in path.parent.iterdir()] == ["mine"]


def test_anything_else_is_not_replaced(saved, tmp_path):
  model, path = saved
  (tmp_path / "notes.txt").write_text("mine")
  for target in (tmp_path, tmp_path / "notes.txt"):
    with pytest.raises(ta.InputError, match="no adapter file"):
      ta.save_adapter(model, target)
  assert (tmp_path / "notes.txt").read_text() == "mine"
  (tmp_path / "link").symlink_to(path)
  ta.save_adapter(model, tmp_path / "link")
  assert (tmp_path / "link").is_symlink()


def test_a_vocabulary_of_its_own_can_be_given_again(
    hf_source, vocab_file, tmp_path, batch):
  bare = tmp_path / "bare"
  shutil.copytree(hf_source, bare)
  (bare / "vocab.txt").unlink()
  model = ta.TextRegressor(ta.load_encoder(
      str(bare), ta.AdapterConfig(size=4), str(vocab_file), True))
  ta.save_adapter(model, tmp_path / "x")
  again = ta.load_adapter(tmp_path / "x", vocab_file=str(vocab_file))
  assert again.encoder.vocabulary == model.encoder.vocabulary
  np.testing.assert_array_equal(again(batch), model(batch))


def test_a_failed_save_leaves_the_old_one(saved, monkeypatch):
  model, path = saved
  before = (path / "adapter.safetensors").read_bytes()

  def full(*_):
    raise OSError("full")

  monkeypatch.setattr(adapter_file, "model_card", full)
  with pytest.raises(ta.InputError, match="mine: cannot be written: full"):
    ta.save_adapter(model, path)
  assert (path / "adapter.safetensors").read_bytes() == before
  assert [p.name for p in path.parent.iterdir()] == ["mine"]


def test_other_weights_are_refused_by_fingerprint(
    saved, bert_weights, tmp_path, vocab_file):
  _, path = saved
  tensors = dict(bert_weights)
  tensors["pooler_transform/bias"] = tensors["pooler_transform/bias"] + 1
  other = conftest.write_hugging_face(
      tmp_path / "other", conftest.TINY, tensors, vocab_file)
  with pytest.raises(ta.InputError, match="made for other encoder weights"):
    ta.load_adapter(path, str(other))


def test_another_vocabulary_is_refused(saved, hf_source, tmp_path):
  _, path = saved
  shutil.copytree(hf_source, tmp_path / "other")
  vocab = tmp_path / "other" / "vocab.txt"
  vocab.write_text(vocab.read_text().replace("film", "movie"))
  with pytest.raises(ta.InputError, match="another vocabulary"):
    ta.load_adapter(path, str(tmp_path / "other"))


@pytest.mark.parametrize("damage, message", [
    (lambda p: (p / "adapter_config.json").unlink(), "not an adapter file"),
    (lambda p: (p / "adapter_config.json").write_text("{"), "as JSON"),
    (lambda p: (p / "adapter_config.json").write_text("[]"), "JSON object"),
    (lambda p: edit(p, format_version=3), "format_version is 3"),
    (lambda p: edit(p, format_version=[]), r"format_version is \[\]"),
    (lambda p: edit(p, pooling=...), "pooling"),
    (lambda p: edit(p, pooling="max"), "pooling must be one of"),
    (lambda p: edit(p, labels=None), "labels is None"),
    (lambda p: edit(p, encoder="x"), "encoder is 'x'"),
    (lambda p: edit(p, problem_type="zz"), "problem_type 'zz'"),
    (lambda p: edit(p, dropout="x"), "dropout is 'x'"),
    (lambda p: edit(p, adapter={"size": 0}), "adapter size"),
    (lambda p: edit(p, labels=["a", "b", "c"]), "head/kernel has shape"),
    (lambda p: edit(p, adapter={"size": 9}), "has shape"),
    (lambda p: edit(p, adapter={"size": 8, "layers": [0]}), "too many"),
    (lambda p: edit(p, tuning="full"), "lacks"),
    (lambda p: (p / "adapter.safetensors").unlink(), "cannot be read"),
    (lambda p: (p / "adapter.safetensors").write_bytes(b"x"), "damaged"),
    (lambda p: (p / "adapter.safetensors").write_bytes(pickle.dumps({})),
     "damaged"),
])
def test_damage_is_named(saved, damage, message):
  _, path = saved
  damage(path)
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.load_adapter(path)
  assert "\n" not in str(caught.value)


def test_version_0_1_refuses_what_it_would_compute_wrongly(saved, tmp_path):
  _, path = saved
  info = read_info(path)

  def version(**changes):
    adapter_file.write_adapter(
        tmp_path / "other", dataclasses.replace(info, **changes), {})
    return read_info(tmp_path / "other").format_version

  adapter, other = ta.AdapterConfig, ta.LoraConfig()
  as_before = (
      adapter(depth=2, dropout=0.1, positions=("output",)),
      adapter(layer_norm=True, parallel=True, activation="swish"),
      adapter(identity_init=True, layer_norm_epsilon=1e-5))
  anew = (
      adapter(input="normed"), adapter(scaling=2.0),
      adapter(learned_scaling=True),
      adapter(layer_norm=True, layer_norm_epsilon=1e-5), other)
  assert info.format_version == version(adapter=None) == 1
  for method in as_before:
    assert version(adapter=method.to_dict()) == 1
  for method in anew:
    assert version(adapter=method.to_dict()) == 2
  assert version(problem_type="multi_label", thresholds={"no": 0.25}) == 2


def test_unknown_keys_of_newer_versions_are_a_warning(saved, caplog):
  _, path = saved
  file = path / "adapter_config.json"
  values = {**json.loads(file.read_text()), "colour": "red"}
  del values["config_sha256"]
  content = json.dumps(values, sort_keys=True, separators=(",", ":"))
  values["config_sha256"] = hashlib.sha256(content.encode()).hexdigest()
  file.write_text(json.dumps(values))
  with caplog.at_level(logging.WARNING):
    ta.load_adapter(path)
  assert "colour" in caplog.text


def test_an_encoder_from_nowhere_can_not_be_saved(encoder, tmp_path):
  model = ta.TextClassifier(ta.BertEncoder(encoder.config), ["a", "b"])
  with pytest.raises(ta.InputError, match="no origin"):
    ta.save_adapter(model, tmp_path / "x")
