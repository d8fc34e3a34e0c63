"""An encoder family that this file alone knows, from a checkpoint to a bank."""

import dataclasses

import numpy as np
import safetensors.numpy
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.table import ENCODERS
from tf_adapters.modeling.layers import Projection
from tf_adapters.modeling.methods.places import SUBLAYER
from tf_adapters.modeling.vocabulary import SpecialTokens


@dataclasses.dataclass(frozen=True)
class ToyConfig(EncoderConfig):
  family, longest_text, hooks = "toy", 32, {(SUBLAYER, "output")}
  hidden_size, num_hidden_layers = 8, 2
  hidden_dropout_prob, layer_norm_eps = 0.0, 1e-6
  vocab_size: int


class Toy(EncoderFamily):
  name, title, config = "toy", "Toy", ToyConfig
  places = {"word_embeddings": ("words",), "transformer/layer_{i}/mix": (),
            "transformer/layer_{i}/output_layer_norm": ()}
  special_tokens = SpecialTokens("<s>", "</s>", ("</s>",), "<pad>", "<unk>")

  def shapes(self, config):
    shapes = {"mix/kernel": (8, 8), "mix/bias": (8,),
              "output_layer_norm/gamma": (8,), "output_layer_norm/beta": (8,)}
    return {"word_embeddings/embeddings": (config.vocab_size, 8), **{
        f"transformer/layer_{layer}/{name}": shape
        for layer in range(2) for name, shape in shapes.items()}}

  def encoder_class(self):
    return ToyEncoder


class ToyLayer(Projection):
  def named_variables(self):
    return {"mix/kernel": self.kernel, "mix/bias": self.bias}

  def call(self, hidden, attention_bias, task, training=None):
    mean = tf.matmul(tf.nn.softmax(attention_bias[:, 0]), hidden)
    mixed = super().call(hidden + mean)
    norm = task.layer_norm("output_layer_norm")
    if hook := task.hook(SUBLAYER, "output"):
      mixed = hook(mixed, hidden, norm, training=training)
    return norm(hidden + mixed)


class ToyEncoder(TransformerEncoder):
  def make_layers(self):
    self.embeddings = table = tf_keras.layers.Embedding(8, 8)
    table.named_variables = lambda: {
        "word_embeddings/embeddings": table.embeddings}
    self.transformer_layers = [ToyLayer([8], [8]) for _ in range(2)]


def test_a_family_is_one_file(monkeypatch, tmp_path):
  tf_keras.utils.set_random_seed(0)
  monkeypatch.setitem(ENCODERS, "toy", Toy())
  rng, texts, expected = np.random.default_rng(0), ["a b", "c b", "a", "d"], []
  (tmp_path / "config.json").write_text('{"model_type":"toy","vocab_size":8}')
  (tmp_path / "vocab.txt").write_text("<s>\n</s>\n<pad>\n<unk>\na\nb\nc\nd")
  safetensors.numpy.save_file({
      "toy/" + name.replace("word_embeddings/embeddings", "words"):
      rng.normal(size=shape).astype("f4") for name, shape
      in Toy().shapes(ToyConfig(8)).items()}, tmp_path / "model.safetensors")
  for task in "123":  # three sizes of adapters
    encoder = ta.load_encoder(tmp_path, ta.AdapterConfig(
        4 * int(task), positions=("output",)))
    model, file = ta.TextClassifier(encoder, ["no", "yes"]), tmp_path / task
    model.compile(tf_keras.optimizers.Adam(0.01), model.loss_function)
    inputs = encoder.text_processor()(texts)
    loss = model.fit(inputs, np.array([1, 0, 1, 0]), epochs=8).history["loss"]
    assert loss[-1] < loss[0]
    ta.save_adapter(model, file)
    assert '"family": "toy"' in (file / "adapter_config.json").read_text()
    logits = ta.load_adapter(file)(inputs)
    np.testing.assert_array_equal(logits, model(inputs))
    expected.append(tf.nn.softmax(logits).numpy()[:, 1])
  assert model.summary_of_tuning().rows["layer norms"] == (32, 0)
  mixed = ta.AdapterBank(tmp_path, [tmp_path / task for task in "123"]
                         ).predict_proba(texts, list("1231"))
  np.testing.assert_allclose([scores["yes"] for scores in mixed],
                             np.choose([0, 1, 2, 0], expected), atol=1e-5)
  served = tf.saved_model.load(ta.export_model(model, tmp_path / "served"))
  np.testing.assert_allclose(served.signatures["single_texts"](
      text=tf.constant(texts))["scores"][:, 1], expected[2], atol=1e-5)
