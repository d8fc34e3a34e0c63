"""Methods in Keras' files; those at projections in bfloat16 and under XLA."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests.adapters import with_random_values
from tf_adapters.modeling.methods.places import PROJECTIONS

TEXTS = ["the film is good", "bad", "he said so, very!", ""]
METHODS = (
    ta.LoraConfig(rank=3, targets=PROJECTIONS, dropout=0.1),
    ta.LoraConfig(rank=3, targets=PROJECTIONS, dora=True),
    ta.IA3Config.preset("peft"),
    ta.PrefixConfig(length=3, bottleneck_size=5),
    ta.CompacterConfig(size=8))
# Several at once, since a compilation takes long.
AT_PROJECTIONS = ta.UnionConfig((
    ta.LoraConfig(rank=3, dora=True, targets=(
        "query", "value", "attention_output", "intermediate")),
    ta.IA3Config(scaled_outputs=("key",), scaled_inputs=("output",))))


@pytest.mark.parametrize("method", METHODS)
def test_keras_files_hold_it(one_layer_source, method, tmp_path):
  model = ta.TextClassifier(
      with_random_values(ta.load_encoder(one_layer_source, method)), ["a", "b"])
  inputs = model.encoder.text_processor(16)(TEXTS)
  model.save(tmp_path / "model.keras")
  again = tf_keras.models.load_model(tmp_path / "model.keras")
  assert again.encoder.method == method
  np.testing.assert_array_equal(again(inputs), model(inputs))


def test_trains_in_bfloat16_under_xla(one_layer_source):
  logits = {}
  for dtype in ("float32", "mixed_bfloat16", "bfloat16"):
    tf_keras.utils.set_random_seed(5)
    encoder = ta.load_encoder(one_layer_source, AT_PROJECTIONS, dtype=dtype)
    model = ta.TextClassifier(encoder, ["a", "b"], pooling="mean")
    inputs = encoder.text_processor(16)(TEXTS)
    if dtype == "mixed_bfloat16":
      model.compile(ta.create_optimizer(0.01, 9), model.loss_function,
                    jit_compile=True)
      before = {name: variable.numpy()
                for name, variable in model.tuned_variables().items()}
      plain = model(inputs)
      model.fit(inputs, np.array([0, 1, 0, 1]), batch_size=4, epochs=2,
                verbose=0)
      changed = [name for name, variable in model.tuned_variables().items()
                 if np.any(variable != before[name])]
      assert len(changed) == len(before)
      logits[dtype] = plain
    else:
      logits[dtype] = model(inputs)
    assert all(variable.dtype == tf.float32
               for variable in model.tuned_variables().values())
  for dtype in ("mixed_bfloat16", "bfloat16"):
    np.testing.assert_allclose(logits[dtype], logits["float32"], atol=0.05)
