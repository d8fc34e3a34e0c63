import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests import reference


def as_numpy(inputs):
  return {name: value.numpy() for name, value in inputs.items()}


def disturb(encoder, seed=0):
  """Gives adapters weights that matter."""
  rng = np.random.default_rng(seed)
  for name, variable in encoder.named_variables().items():
    if "_adapter/" in name:
      variable.assign(rng.normal(0, 0.3, variable.shape))


def reference_outputs(encoder, batch):
  inputs = as_numpy(batch)
  return reference.bert(
      {name: v.numpy() for name, v in encoder.named_variables().items()},
      inputs["input_word_ids"], inputs["input_mask"],
      inputs["input_type_ids"])


@pytest.mark.parametrize("layers", [None, (0, 2)])
def test_is_the_function_of_the_paper(hf_source, batch, layers):
  encoder = ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=8, layers=layers))
  disturb(encoder)
  outputs = encoder(batch)
  sequence, pooled = reference_outputs(encoder, batch)
  np.testing.assert_allclose(outputs["sequence_output"], sequence, atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)


def test_outputs_are_those_of_hub_bert_v4(encoder, batch):
  outputs = encoder(batch)
  assert set(outputs) == {
      "sequence_output", "pooled_output", "default", "encoder_outputs"}
  assert outputs["default"] is outputs["pooled_output"]
  assert len(outputs["encoder_outputs"]) == 3
  np.testing.assert_array_equal(
      outputs["encoder_outputs"][-1], outputs["sequence_output"])
  width = batch["input_mask"].shape[1]
  assert outputs["sequence_output"].shape == (4, width, 32)
  assert outputs["pooled_output"].shape == (4, 32)


def test_adapters_of_scale_zero_change_nothing(hf_source, batch):
  plain = ta.load_encoder(str(hf_source))
  adapted = ta.load_encoder(str(hf_source), ta.AdapterConfig(init_scale=0.0))
  for name in ("sequence_output", "pooled_output"):
    np.testing.assert_array_equal(plain(batch)[name], adapted(batch)[name])


def test_fresh_adapters_change_little(hf_source, batch):
  plain = ta.load_encoder(str(hf_source))
  adapted = ta.load_encoder(str(hf_source), ta.AdapterConfig())
  np.testing.assert_allclose(
      plain(batch)["sequence_output"], adapted(batch)["sequence_output"],
      atol=0.05)


@pytest.mark.parametrize("layers, tuning, prefix", [
    ((0,), "adapters", 0), ((1, 2), "adapters", 1), ((2,), "adapters", 2),
    ((2,), "head", 2), (None, "head", 3)])
def test_goes_on_from_the_output_of_its_frozen_prefix(
    hf_source, batch, layers, tuning, prefix):
  encoder = ta.load_encoder(
      str(hf_source), layers and ta.AdapterConfig(size=8, layers=layers))
  disturb(encoder)
  encoder.tune(tuning)
  assert encoder.frozen_prefix == prefix
  whole = encoder(batch)
  rest = encoder({"prefix_output": encoder.prefix_output(batch),
                  "input_mask": batch["input_mask"]})
  assert len(rest["encoder_outputs"]) == 3 - prefix
  for name in ("sequence_output", "pooled_output", "default"):
    np.testing.assert_array_equal(rest[name], whole[name])


def test_behind_a_prefix_all_that_trains_has_a_gradient(hf_source, batch):
  encoder = ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=8, layers=(2,)))
  with tf.GradientTape() as tape:
    outputs = encoder(
        {"prefix_output": encoder.prefix_output(batch),
         "input_mask": batch["input_mask"]}, training=True)
    loss = tf.reduce_sum(tf.square(outputs["sequence_output"]))
  gradients = tape.gradient(loss, encoder.tuned_variables())
  assert all(gradient is not None for gradient in gradients.values())


def test_padding_changes_nothing(encoder):
  text = encoder.text_processor(32)
  narrow, wide = text(["the film"]), text(["the film"], length=32)
  assert wide["input_mask"].shape == (1, 32)
  length = narrow["input_mask"].shape[1]
  np.testing.assert_allclose(
      encoder(narrow)["sequence_output"],
      encoder(wide)["sequence_output"][:, :length], atol=1e-5)


def test_xla_computes_the_same(encoder, batch):
  compiled = tf.function(encoder, jit_compile=True)
  np.testing.assert_allclose(
      compiled(batch)["sequence_output"], encoder(batch)["sequence_output"],
      atol=1e-5)


def test_bfloat16_is_near(encoder, batch):
  config = encoder.get_config()
  for part in (config, config["task_layers"]["config"]):
    part["dtype"] = "mixed_bfloat16"
  coarse = ta.BertEncoder.from_config(config)
  for name, variable in coarse.named_variables().items():
    assert variable.dtype == tf.float32
    variable.assign(encoder.named_variables()[name])
  outputs = coarse(batch)["sequence_output"]
  assert outputs.dtype == tf.bfloat16
  np.testing.assert_allclose(
      tf.cast(outputs, tf.float32), encoder(batch)["sequence_output"],
      atol=0.15)


def test_weights_held_in_bfloat16_are_those_that_would_be_cast(
    hf_source, batch):
  encoders = [ta.load_encoder(str(hf_source), ta.AdapterConfig(size=8),
                              dtype=dtype)
              for dtype in ("mixed_bfloat16", "bfloat16")]
  outputs, gradients = [], []
  for encoder in encoders:
    disturb(encoder)
    with tf.GradientTape() as tape:
      output = encoder(batch, training=False)["sequence_output"]
      loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
    outputs.append(output)
    gradients.append(tape.gradient(loss, encoder.trainable_weights))
  np.testing.assert_array_equal(*(tf.cast(x, tf.float32) for x in outputs))
  for one, other in zip(*gradients, strict=True):
    np.testing.assert_array_equal(one, other)
  for name, variable in encoders[1].named_variables().items():
    owned = "_adapter/" in name or "layer_norm/" in name
    assert variable.dtype == (tf.float32 if owned else tf.bfloat16), name


def test_what_is_held_in_bfloat16_does_not_train(hf_source):
  encoder = ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=8), dtype="bfloat16")
  for tuning in ("adapters", "layer_norm", "head"):
    encoder.tune(tuning)
  for tuning in ("full", "bias", "top_layers:1", "adapters+pooler"):
    with pytest.raises(ta.InputError, match="held in bfloat16: load the enc"):
      encoder.tune(tuning)
  assert ta.load_encoder(str(hf_source), dtype="bfloat16").tuning == "head"


def test_works_in_a_functional_model(encoder, batch):
  inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name)
            for name in batch}
  outputs = tf_keras.layers.Dense(2)(encoder(inputs)["pooled_output"])
  model = tf_keras.Model(inputs, outputs)
  trained = {id(variable) for variable in model.trainable_variables}
  assert {id(v) for v in encoder.tuned_variables().values()} < trained
  assert len(model.trainable_variables) == len(encoder.tuned_variables()) + 2
  frozen = encoder.named_variables()["word_embeddings/embeddings"]
  before = frozen.numpy()
  model.compile("sgd", "mse")
  model.fit(batch, np.ones([4, 2]), verbose=0)
  np.testing.assert_array_equal(frozen, before)


def test_comes_back_from_its_config(encoder):
  encoder.tune("layer_norm")
  again = ta.BertEncoder.from_config(encoder.get_config())
  assert again.config == encoder.config
  assert again.method == encoder.method
  assert again.vocabulary == encoder.vocabulary
  assert again.origin == encoder.origin
  assert again.tuning == "layer_norm"
  assert list(again.named_variables()) == list(encoder.named_variables())


def test_text_processor_needs_a_vocabulary_and_positions(encoder):
  with pytest.raises(ta.InputError, match="40 wordpieces only"):
    encoder.text_processor(41)
  bare = ta.BertEncoder(encoder.config)
  with pytest.raises(ta.InputError, match="without a vocabulary"):
    bare.text_processor()


def test_another_object_can_take_the_tasks_place(encoder, batch):
  """The encoder knows no adapter by name: a task is what it was given."""
  plain = ta.BertEncoder(encoder.config)
  for name, variable in plain.named_variables().items():
    variable.assign(encoder.named_variables()[name])
  swapped = ta.BertEncoder(encoder.config, encoder.task_layers)
  for name, variable in swapped.base_variables().items():
    variable.assign(encoder.named_variables()[name])
  disturb(encoder)
  np.testing.assert_array_equal(
      swapped(batch)["sequence_output"], encoder(batch)["sequence_output"])
  assert np.any(plain(batch)["sequence_output"].numpy()
                != encoder(batch)["sequence_output"].numpy())
