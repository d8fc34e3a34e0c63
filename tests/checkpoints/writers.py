"""Writes a tiny BERT in every format that there is, from the same tensors.

By the official writer where one is installed: tf-models' exporter of TF Hub
SavedModels, its converter of TF1 checkpoints, its encoders' checkpoints, TF1's
Saver and SavedModel builder. Nothing here imports the package.
"""

import json
import os
import re

import numpy as np
import safetensors.numpy
import tensorflow as tf
import tf_keras
from official.legacy.bert import bert_models, configs
from official.nlp.modeling import models, networks
from official.nlp.tools import tf2_bert_encoder_checkpoint_converter

from tests.reference import hugging_face_tensors

tf1 = tf.compat.v1


def tf1_tensors(tensors):
  """By the names, and in the shapes, of google-research/bert."""
  return {
      re.sub(r"/(word|position|token_type)_embeddings/weight$",
             r"/\1_embeddings", name): array
      for name, array in _renamed(tensors, "bert").items()}


def _renamed(tensors, prefix):
  result = {}
  for name, array in hugging_face_tensors(tensors).items():
    parts = name.replace("layer.", "layer_").split(".")
    norm = parts[-2] == "LayerNorm"
    if parts[-1] == "weight" and norm:
      parts[-1] = "gamma"
    elif parts[-1] == "bias" and norm:
      parts[-1] = "beta"
    elif parts[-1] == "weight" and "embeddings" not in parts[-2]:
      parts[-1], array = "kernel", array.T
    result["/".join([prefix, *parts])] = np.ascontiguousarray(array)
  return result


def hub_v1_tensors(tensors):
  """By the names of TF Hub's first TF2 SavedModels, kernels as matrices."""
  replaced = (
      ("embeddings/word_embeddings/weight", "word_embeddings/embeddings_2"),
      ("embeddings/token_type_embeddings/weight",
       "embedding_postprocessor/type_embeddings"),
      ("embeddings/position_embeddings/weight",
       "embedding_postprocessor/position_embeddings"),
      ("embeddings/LayerNorm", "embedding_postprocessor/layer_norm"),
      ("attention/self", "self_attention"),
      ("attention/output/dense", "self_attention_output"),
      ("attention/output/LayerNorm", "self_attention_layer_norm"),
      ("intermediate/dense", "intermediate"),
      ("output/dense", "output"),
      ("output/LayerNorm", "output_layer_norm"),
      ("pooler/dense", "pooler_transform"),
  )
  result = {}
  for name, array in _renamed(tensors, "bert_model").items():
    for old, new in replaced:
      name = name.replace(old, new)
    result[name] = array
  return result


def plain_bert(tensors, word_ids, mask, type_ids, heads, activation):
  """BERT in plain ops, as google-research/bert's graphs have it.

  Args:
    tensors: by TF1's names.

  Returns:
    pooled [batch, hidden], sequence [batch, length, hidden].
  """
  t = {name.removeprefix("bert/"): tensor for name, tensor in tensors.items()}

  def dense(x, name):
    product = tf.einsum("...i,io->...o", x, t[f"{name}/kernel"])
    return product + t[f"{name}/bias"]

  def norm(x, name):
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return tf.nn.batch_normalization(
        x, mean, variance, t[f"{name}/LayerNorm/beta"],
        t[f"{name}/LayerNorm/gamma"], 1e-12)

  def split(x):
    shape = tf.shape(x)
    x = tf.reshape(x, [shape[0], shape[1], heads, x.shape[-1] // heads])
    return tf.transpose(x, [0, 2, 1, 3])

  hidden = t["embeddings/word_embeddings"].shape[1]
  length = tf.shape(word_ids)[1]
  x = (tf.gather(t["embeddings/word_embeddings"], word_ids)
       + t["embeddings/position_embeddings"][:length]
       + tf.gather(t["embeddings/token_type_embeddings"], type_ids))
  x = norm(x, "embeddings")
  bias = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * -10000.0
  layer = 0
  while f"encoder/layer_{layer}/output/dense/kernel" in t:
    p = f"encoder/layer_{layer}"
    q, k, v = (split(dense(x, f"{p}/attention/self/{part}"))
               for part in ("query", "key", "value"))
    scores = tf.matmul(q, k, transpose_b=True) * (hidden // heads) ** -0.5
    context = tf.transpose(
        tf.matmul(tf.nn.softmax(scores + bias), v), [0, 2, 1, 3])
    context = tf.reshape(context, [-1, length, hidden])
    x = norm(x + dense(context, f"{p}/attention/output/dense"),
             f"{p}/attention/output")
    wide = activation(dense(x, f"{p}/intermediate/dense"))
    x = norm(x + dense(wide, f"{p}/output/dense"), f"{p}/output")
    layer += 1
  return tf.tanh(dense(x[:, 0], "pooler/dense")), x


def gelu_2018(x):
  """google-research/bert's."""
  return x * 0.5 * (1.0 + tf.tanh(
      np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3))))


def _save_variables(prefix, tensors):
  prefix.parent.mkdir(parents=True, exist_ok=True)
  with tf.Graph().as_default(), tf1.Session() as session:
    variables = [tf1.get_variable(name, initializer=array)
                 for name, array in tensors.items()]
    session.run([variable.initializer for variable in variables])
    tf1.train.Saver(variables).save(
        session, str(prefix), write_meta_graph=False, write_state=False)


def write_tf1_checkpoint(folder, config, vocab_file, tensors, change=None):
  """As google-research/bert's releases, optimizer and MLM head included."""
  named = tf1_tensors(tensors)
  hidden = config["hidden_size"]
  transform = "cls/predictions/transform"
  named |= {
      f"{transform}/dense/kernel": np.eye(hidden, dtype="f4"),
      f"{transform}/dense/bias": np.zeros(hidden, "f4"),
      f"{transform}/LayerNorm/gamma": np.ones(hidden, "f4"),
      f"{transform}/LayerNorm/beta": np.zeros(hidden, "f4"),
      "bert/pooler/dense/kernel/adam_m": named["bert/pooler/dense/kernel"],
      "cls/predictions/output_bias": np.zeros(config["vocab_size"], "f4"),
      "cls/seq_relationship/output_weights": np.zeros([2, hidden], "f4"),
      "cls/seq_relationship/output_bias": np.zeros(2, "f4"),
      "global_step": np.int64(7)}
  if change:
    named = change(named)
  _save_variables(folder / "bert_model.ckpt", named)
  (folder / "bert_config.json").write_text(json.dumps(config))
  (folder / "vocab.txt").write_text(vocab_file.read_text())
  return folder


def write_garden(folder, config, tf1_folder, model="encoder"):
  """tf-models' conversion of a TF1 checkpoint; no bert_config.json."""
  tf2_bert_encoder_checkpoint_converter.convert_checkpoint(
      bert_config=configs.BertConfig.from_dict(config),
      output_path=str(folder / "bert_model.ckpt"),
      v1_checkpoint=str(tf1_folder / "bert_model.ckpt"),
      checkpoint_model_name="model", converted_model=model)
  return folder


def write_garden_trained(folder, config, tensors):
  """A checkpoint of a Model Garden pretraining, with its optimizer."""
  encoder = networks.BertEncoderV2(
      vocab_size=config["vocab_size"], hidden_size=config["hidden_size"],
      num_layers=config["num_hidden_layers"],
      num_attention_heads=config["num_attention_heads"],
      inner_dim=config["intermediate_size"],
      max_sequence_length=config["max_position_embeddings"],
      type_vocab_size=config["type_vocab_size"])
  model = models.BertPretrainerV2(encoder_network=encoder)
  model(model.inputs)
  for variable in encoder.trainable_variables:
    name = variable.name.removesuffix(":0").removeprefix("bert_encoder_v2/")
    variable.assign(tensors[name])
  optimizer = tf_keras.optimizers.Adam()
  optimizer.build(model.trainable_variables)
  manager = tf.train.CheckpointManager(
      tf.train.Checkpoint(model=model, optimizer=optimizer,
                          **model.checkpoint_items), str(folder), 5)
  manager.save(1)
  manager.save(2)
  return folder


def write_hub_v2(folder, config, vocab_file, tensors):
  """As tf-models' first exporter did: a Keras model on a list of inputs."""
  encoder = bert_models.get_transformer_encoder(
      configs.BertConfig.from_dict(config), sequence_length=None)
  for variable in encoder.trainable_variables:
    variable.assign(tensors[variable.name.removesuffix(":0")])
  inputs = [tf_keras.Input([None], dtype=tf.int32, name=name)
            for name in ("input_word_ids", "input_mask", "input_type_ids")]
  sequence, pooled = encoder(inputs)
  model = tf_keras.Model(inputs, [pooled, sequence])
  model.vocab_file = tf.saved_model.Asset(str(vocab_file))
  model.do_lower_case = tf.Variable(True, trainable=False)
  model.save(str(folder), include_optimizer=False, save_format="tf")
  return folder


def write_hub_v1(folder, config, vocab_file, tensors, activation=gelu_2018):
  """By the names that users of TF Hub's v1 printed."""
  named = hub_v1_tensors(tensors)
  root = tf.train.Checkpoint()
  root.variables = [
      tf.Variable(array, name=name) for name, array in named.items()]
  root.vocab_file = tf.saved_model.Asset(str(vocab_file))
  root.do_lower_case = tf.Variable(True, trainable=False)
  by_tf1 = dict(zip(tf1_tensors(tensors), root.variables))

  @tf.function(input_signature=[[tf.TensorSpec([None, None], tf.int32)] * 3])
  def call(inputs):
    return list(plain_bert(
        by_tf1, *inputs, config["num_attention_heads"], activation))

  root.__call__ = call
  tf.saved_model.save(root, str(folder))
  return folder


def write_tf1_hub(folder, config, vocab_file, tensors, lower_case=True):
  """A TF1 Hub module: two graphs, signatures, tfhub_module.pb."""
  named = tf1_tensors(tensors)
  builder = tf1.saved_model.Builder(str(folder))

  def signature(inputs, outputs):
    return tf1.saved_model.signature_def_utils.build_signature_def(
        {name: tf1.saved_model.build_tensor_info(tensor)
         for name, tensor in inputs.items()},
        {name: tf1.saved_model.build_tensor_info(tensor)
         for name, tensor in outputs.items()})

  for number, tags in enumerate((["train"], [])):
    with tf.Graph().as_default(), tf1.Session() as session:
      variables = {name: tf1.get_variable(name, initializer=array)
                   for name, array in named.items()}
      inputs = {name: tf1.placeholder(tf.int32, [None, None], name)
                for name in ("input_ids", "input_mask", "segment_ids")}
      pooled, sequence = plain_bert(
          variables, inputs["input_ids"], inputs["input_mask"],
          inputs["segment_ids"], config["num_attention_heads"], gelu_2018)
      vocab = tf.constant(str(vocab_file), name="vocab_file")
      session.run([v.initializer for v in variables.values()])
      arguments = dict(
          signature_def_map={
              "tokens": signature(inputs, {
                  "pooled_output": pooled, "sequence_output": sequence}),
              "tokenization_info": signature({}, {
                  "vocab_file": vocab,
                  "do_lower_case": tf.constant(lower_case)})},
          assets_collection=[vocab])
      if number:
        builder.add_meta_graph(tags, **arguments)
      else:
        builder.add_meta_graph_and_variables(session, tags, **arguments)
  builder.save()
  (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
  return folder


def write_sharded(folder, single, prefix="bert."):
  """A Hugging Face folder again, its weights in three files with an index."""
  folder.mkdir()
  for file in single.iterdir():
    if file.suffix != ".safetensors":
      os.link(file, folder / file.name)
  tensors = safetensors.numpy.load_file(single / "model.safetensors")
  shards = [{}, {}, {}]
  for place, (name, array) in enumerate(tensors.items()):
    shards[place % 3][prefix + name] = array
  index = {}
  for number, shard in enumerate(shards, 1):
    name = f"model-{number:05}-of-00003.safetensors"
    safetensors.numpy.save_file(shard, folder / name)
    index |= {key: name for key in shard}
  (folder / "model.safetensors.index.json").write_text(
      json.dumps({"metadata": {"total_size": 0}, "weight_map": index}))
  return folder
