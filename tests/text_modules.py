"""Tiny TF Hub modules that make vectors of texts."""

import numpy as np
import tensorflow as tf

BUCKETS, SIZE = 50, 6
_TABLE = np.random.default_rng(3).normal(
    size=[BUCKETS, SIZE]).astype(np.float32)


def vectors_of(text):
  """Returns the modules' vector of a text, by numpy: a mean of hashed words."""
  rows = tf.strings.to_hash_bucket_fast(text.split(), BUCKETS).numpy()
  return _TABLE[rows].mean(axis=0) if len(rows) else np.zeros(SIZE)


def _embed(table, texts):
  words = tf.strings.split(texts)
  rows = words.with_values(
      tf.strings.to_hash_bucket_fast(words.values, BUCKETS))
  vectors = tf.gather(table, rows.values)
  sums = tf.math.unsorted_segment_sum(
      vectors, rows.value_rowids(), tf.size(texts))
  count = tf.cast(rows.row_lengths(), tf.float32)[:, tf.newaxis]
  return tf.math.divide_no_nan(sums, count)


def write_text_module(folder, change=lambda vectors: vectors):
  """Writes a TF2 SavedModel; `change` spoils what it returns."""
  module = tf.train.Checkpoint(table=tf.Variable(_TABLE))
  module.__call__ = tf.function(
      lambda texts: change(_embed(module.table, texts)),
      input_signature=[tf.TensorSpec([None], tf.string)])
  module.variables = module.trainable_variables = [module.table]
  tf.saved_model.save(module, str(folder))
  return folder


def write_tf1_text_module(folder):
  """Writes a module of the TF1 Hub format."""
  v1 = tf.compat.v1
  with tf.Graph().as_default(), v1.Session() as session:
    table = v1.get_variable("table", initializer=_TABLE, use_resource=True)
    texts = v1.placeholder(tf.string, [None])
    vectors = _embed(table, texts)
    session.run(v1.global_variables_initializer())
    builder = v1.saved_model.Builder(str(folder))
    signature = v1.saved_model.build_signature_def(
        {"text": v1.saved_model.build_tensor_info(texts)},
        {"default": v1.saved_model.build_tensor_info(vectors)})
    builder.add_meta_graph_and_variables(
        session, [], signature_def_map={"default": signature})
    builder.save()
  (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
  return folder
