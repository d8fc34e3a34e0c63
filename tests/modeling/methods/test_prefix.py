import numpy as np
import pytest
import tf_keras

import tf_adapters as ta
from tests import reference

TEXTS = ["the film is good", "bad", "he said so, very!", ""]


def trained(source, method):
  """A model that was trained by a step, and its inputs."""
  encoder = ta.load_encoder(source, method)
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  model.compile(tf_keras.optimizers.Adam(0.05), model.loss_function,
                run_eagerly=True)
  inputs = encoder.text_processor()(TEXTS)
  model.train_on_batch(inputs, np.array([1, 0, 0, 1]))
  return model, inputs


def flattened(encoder):
  """The encoder's arrays, with what a network makes of its weights."""
  arrays = {name: variable.numpy().astype(np.float64)
            for name, variable in encoder.named_variables().items()}
  if not encoder.method.flat:
    hidden = np.tanh(
        arrays["transformer/prefix/embeddings/value"]
        @ arrays["transformer/prefix/hidden/kernel"]
        + arrays["transformer/prefix/hidden/bias"])
    for name in [name for name in arrays if "_prefix/" in name]:
      if name.endswith("/kernel"):
        place = name.removesuffix("/kernel")
        arrays[f"{place}/value"] = (
            hidden @ arrays[name] + arrays[f"{place}/bias"])
  return arrays


@pytest.mark.parametrize("method", [
    ta.PrefixConfig(length=3, flat=True),
    ta.PrefixConfig(length=4, bottleneck_size=5, dropout=0.5, layers=(2, 0)),
])
def test_is_the_papers_function(hf_source, method):
  model, inputs = trained(hf_source, method)
  sequence, pooled = reference.bert(
      flattened(model.encoder), *(inputs[f"input_{name}"].numpy() for name in (
          "word_ids", "mask", "type_ids")))
  outputs = model.encoder(inputs)
  mask = inputs["input_mask"].numpy() == 1
  np.testing.assert_allclose(
      outputs["sequence_output"][mask], sequence[mask], atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)


def test_exactly_its_network_and_the_head_train(one_layer_source):
  method = ta.PrefixConfig(length=3, bottleneck_size=5)
  model, _ = trained(one_layer_source, method)
  before = ta.load_encoder(one_layer_source)
  for name, variable in before.named_variables().items():
    np.testing.assert_array_equal(variable, model.named_variables()[name])
  shared = {"embeddings/value", "hidden/kernel", "hidden/bias"}
  added = {f"transformer/prefix/{name}" for name in shared} | {
      f"transformer/layer_0/attention_prefix/{name}/{leaf}"
      for name in ("keys", "values") for leaf in ("kernel", "bias")}
  assert set(model.tuned_variables()) == added | {"head/kernel", "head/bias"}
  fresh = ta.TextClassifier(ta.load_encoder(one_layer_source, method), "ab")
  for name in added - {"transformer/prefix/hidden/bias"}:
    assert np.any(model.named_variables()[name] != fresh.named_variables()[
        name]), name
  summary = model.summary_of_tuning()
  assert summary.rows["prefixes"] == (3 * 32 + 33 * 5 + 2 * 6 * 32, 0)
  flat = ta.TextClassifier(ta.load_encoder(
      one_layer_source, ta.PrefixConfig(length=3, flat=True)), "ab")
  assert flat.summary_of_tuning().rows["prefixes"] == (2 * 3 * 32, 0)


def test_what_lies_below_the_prefixes_is_the_encoders_alone(hf_source):
  encoder = ta.load_encoder(
      hf_source, ta.PrefixConfig(length=3, bottleneck_size=5, layers=(2,)))
  assert encoder.frozen_prefix == 2


@pytest.fixture(scope="module")
def prefix_files(hf_source, tmp_path_factory):
  """{name: (adapter file, logits of the model that was trained)}."""
  folder, files = tmp_path_factory.mktemp("prefixes"), {}
  for name, method in (
      ("network", ta.PrefixConfig(length=7, bottleneck_size=5, layers=(1, 2))),
      ("flat", ta.PrefixConfig(length=2, flat=True)),
      ("bottleneck", ta.AdapterConfig(size=4, init_scale=0.5))):
    model, inputs = trained(hf_source, method)
    files[name] = (ta.save_adapter(model, folder / name),
                   model(inputs).numpy())
  return files


def test_files_hold_keys_and_values(prefix_files):
  path, logits = prefix_files["network"]
  again = ta.load_adapter(path)
  assert again.encoder.method == ta.PrefixConfig(
      length=7, flat=True, bottleneck_size=5, layers=(1, 2))
  assert not any("transformer/prefix/" in name
                 for name in again.named_variables())
  inputs = again.encoder.text_processor()(TEXTS)
  np.testing.assert_allclose(again(inputs), logits, atol=1e-6)
  tuned = again.tuned_variables()["transformer/layer_1/attention_prefix/"
                                  "keys/value"]
  assert tuned.shape == (7, 32)


def test_prefixes_of_other_lengths_are_not_seen(hf_source, prefix_files):
  bank = ta.AdapterBank(hf_source, {
      name: path for name, (path, _) in prefix_files.items()})
  rows = bank.predict_proba(TEXTS * 3, [
      name for name in prefix_files for _ in TEXTS])
  probabilities = np.reshape([list(row.values()) for row in rows], [3, 4, 2])
  for one, (_, logits) in zip(probabilities, prefix_files.values()):
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(one, expected, atol=1e-6)


def test_keras_saves_the_network(one_layer_source, tmp_path):
  model, inputs = trained(
      one_layer_source, ta.PrefixConfig(length=3, bottleneck_size=5))
  model.save(tmp_path / "saved")
  again = tf_keras.models.load_model(tmp_path / "saved")
  np.testing.assert_array_equal(again(inputs), model(inputs))
  assert again.encoder.method == model.encoder.method


def test_refuses_what_cannot_be():
  for values, message in (
      ({"length": 0}, "prefix length must be an integer"),
      ({"bottleneck_size": 0}, "prefix bottleneck_size"),
      ({"dropout": 1.0}, "prefix dropout")):
    with pytest.raises(ta.InputError, match=message):
      ta.PrefixConfig(**values)
