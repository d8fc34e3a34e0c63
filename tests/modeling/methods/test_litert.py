"""A LiteRT file of any method gives the model's logits."""

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.adapters import with_random_values
from tf_adapters.modeling.methods.places import PROJECTIONS

METHODS = {
    "pfeiffer": ta.AdapterConfig.preset("pfeiffer", size=4),
    "scaled_parallel": ta.AdapterConfig.preset("scaled_parallel", size=4),
    "lora": ta.LoraConfig(rank=2, alpha=6, targets=PROJECTIONS),
    "dora": ta.LoraConfig(rank=2, alpha=6, dora=True, targets=PROJECTIONS),
    "ia3": ta.IA3Config.preset("peft"),
    "prefix": ta.PrefixConfig(length=3, bottleneck_size=4),
    "compacter": ta.CompacterConfig(size=8),
    "mam": ta.UnionConfig((ta.PrefixConfig(length=3, flat=True),
                           ta.AdapterConfig.preset("parallel", size=4)))}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_gives_the_models_logits(one_layer_source, tmp_path, name):
  encoder = with_random_values(
      ta.load_encoder(one_layer_source, METHODS[name]), stddev=0.2)
  model = ta.TextClassifier(encoder, ["no", "yes"], pooling="mean")
  runner = tf.lite.Interpreter(str(ta.export_litert(
      model, tmp_path / "model.tflite", 12))).get_signature_runner()
  inputs = encoder.text_processor(12)(["the film is good", "bad"], length=12)
  for row, logits in enumerate(model(inputs).numpy()):
    one = {key: value[row:row + 1].numpy() for key, value in inputs.items()}
    np.testing.assert_allclose(runner(**one)["logits"][0], logits, atol=1e-5)
