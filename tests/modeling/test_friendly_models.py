"""First tries of a Keras user: a number of labels, texts, a bare compile."""

import numpy as np
import pytest
import tf_keras

import tf_adapters as ta


@pytest.fixture
def model(one_layer_source):
  return ta.TextClassifier(
      ta.load_encoder(one_layer_source, ta.AdapterConfig(size=4)), 3)


def test_labels_can_be_counted_and_a_model_says_what_is_in_it(
    model, one_layer_source):
  assert model.labels == ("0", "1", "2")
  summary = model.summary_of_tuning()
  assert repr(model) == (
      f"<TextClassifier: labels 0, 1, 2; adapters on {one_layer_source}; "
      f"{summary.trained:,} of {summary.total:,} parameters train>")
  for labels in (1, 0):
    with pytest.raises(ta.InputError, match="two or more different labels"):
      ta.TextClassifier(model.encoder, labels)


def test_compile_without_arguments_is_the_models_own(model):
  model.compile()
  assert isinstance(model.optimizer, tf_keras.optimizers.Adam)
  assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
  inputs = model.encoder.text_processor(8)(["the film", "he said"])
  values = model.evaluate(inputs, np.array([0, 2]), verbose=0,
                          return_dict=True)
  assert set(values) == {"loss", "accuracy"}
  model.compile(metrics=[])
  assert model.evaluate(inputs, np.array([0, 2]), verbose=0) > 0
  regressor = ta.TextRegressor(model.encoder)
  regressor.compile()
  assert float(regressor.loss([2.0, 2.0], [[5.0], [3.0]])) == 5.0  # (9 + 1) / 2


@pytest.mark.parametrize("texts", [
    ["my bag is lost"], np.array(["my bag is lost"]), "my bag is lost",
    ("a", "b")])
def test_texts_are_refused_in_one_line_with_the_remedy(model, texts):
  with pytest.raises(ta.InputError) as caught:
    model.predict(texts)
  assert "encoder.text_processor()(texts) makes it" in str(caught.value)
  assert "TextTask" in str(caught.value) and "\n" not in str(caught.value)


def test_losses_can_be_scaled(model):
  """As Keras does by itself under the policy mixed_float16."""
  model.compile(tf_keras.mixed_precision.LossScaleOptimizer(
      tf_keras.optimizers.Adam(1e-2)))
  inputs = model.encoder.text_processor(8)(["the film", "he said"])
  for tuning in ("adapters", "layer_norm"):
    model.tune(tuning)
    before = {name: variable.numpy()
              for name, variable in model.tuned_variables().items()}
    model.fit(inputs, np.array([0, 2]), verbose=0)
    changed = [name for name, array in before.items()
               if (model.tuned_variables()[name].numpy() != array).any()]
    assert any("layer_norm" in name for name in changed)
