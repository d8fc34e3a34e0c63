"""BERT with adapters in numpy, written from the papers, and Hugging Face names.

Independent of the package: nothing here imports it.
"""

import numpy as np
import scipy.special


def gelu(x):
  return 0.5 * x * (1 + scipy.special.erf(x / np.sqrt(2)))


def gelu_tanh(x):
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x, gamma, beta, epsilon=1e-12):
  centred = x - x.mean(-1, keepdims=True)
  return gamma * centred / np.sqrt(
      (centred**2).mean(-1, keepdims=True) + epsilon) + beta


def bert(tensors, word_ids, mask, type_ids, activation=gelu):
  """All in float64. Applies adapters and prefixes where `tensors` has any.

  Returns:
    sequence [batch, length, hidden], pooled [batch, hidden].
  """
  t = {name: np.asarray(array, np.float64) for name, array in tensors.items()}

  def norm(x, name):
    return layer_norm(x, t[f"{name}/gamma"], t[f"{name}/beta"])

  def adapt(x, name):
    if f"{name}/down/kernel" not in t:
      return x
    bottleneck = gelu_tanh(
        x @ t[f"{name}/down/kernel"] + t[f"{name}/down/bias"])
    return x + bottleneck @ t[f"{name}/up/kernel"] + t[f"{name}/up/bias"]

  x = (t["word_embeddings/embeddings"][word_ids]
       + t["position_embedding/embeddings"][np.arange(word_ids.shape[1])]
       + t["type_embeddings/embeddings"][type_ids])
  x = norm(x, "embeddings/layer_norm")
  layer = 0
  while f"transformer/layer_{layer}/output/kernel" in t:
    p = f"transformer/layer_{layer}"
    a = f"{p}/self_attention"
    q, k, v = (
        np.einsum("bsh,had->basd", x, t[f"{a}/{part}/kernel"])
        + t[f"{a}/{part}/bias"][None, :, None, :]
        for part in ("query", "key", "value"))
    seen = mask
    if f"{p}/attention_prefix/keys/value" in t:
      prefix = [np.stack([t[f"{p}/attention_prefix/{part}/value"].reshape(
          -1, *k.shape[1::2]).swapaxes(0, 1)] * len(k))
                for part in ("keys", "values")]
      k, v = (np.concatenate(both, axis=2) for both in zip(prefix, (k, v)))
      seen = np.pad(mask, [[0, 0], [prefix[0].shape[2], 0]], constant_values=1)
    scores = np.einsum("baqd,bakd->baqk", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(seen[:, None, None, :] == 1, scores, -np.inf)
    weights = scipy.special.softmax(scores, axis=-1)
    context = np.einsum("baqk,bakd->bqad", weights, v)
    out = np.einsum("bqad,adh->bqh", context,
                    t[f"{a}/attention_output/kernel"])
    out = adapt(out + t[f"{a}/attention_output/bias"], f"{p}/attention_adapter")
    x = norm(x + out, f"{p}/self_attention_layer_norm")
    out = activation(x @ t[f"{p}/intermediate/kernel"]
                     + t[f"{p}/intermediate/bias"])
    out = adapt(out @ t[f"{p}/output/kernel"] + t[f"{p}/output/bias"],
                f"{p}/output_adapter")
    x = norm(x + out, f"{p}/output_layer_norm")
    layer += 1
  pooled = np.tanh(
      x[:, 0] @ t["pooler_transform/kernel"] + t["pooler_transform/bias"])
  return x, pooled


def hugging_face_tensors(tensors, prefix=""):
  """The same weights under Hugging Face's names and in their shapes."""
  result = {}

  def dense(theirs, ours):
    kernel = tensors[f"{ours}/kernel"]
    bias = tensors[f"{ours}/bias"].reshape(-1)
    result[f"{prefix}{theirs}.weight"] = np.ascontiguousarray(
        kernel.reshape(-1, bias.size).T)
    result[f"{prefix}{theirs}.bias"] = bias

  def norm(theirs, ours):
    result[f"{prefix}{theirs}.weight"] = tensors[f"{ours}/gamma"]
    result[f"{prefix}{theirs}.bias"] = tensors[f"{ours}/beta"]

  for theirs, ours in (("word", "word_embeddings"),
                       ("position", "position_embedding"),
                       ("token_type", "type_embeddings")):
    result[f"{prefix}embeddings.{theirs}_embeddings.weight"] = (
        tensors[f"{ours}/embeddings"])
  norm("embeddings.LayerNorm", "embeddings/layer_norm")
  layer = 0
  while f"transformer/layer_{layer}/output/kernel" in tensors:
    t, o = f"encoder.layer.{layer}", f"transformer/layer_{layer}"
    for part in ("query", "key", "value"):
      dense(f"{t}.attention.self.{part}", f"{o}/self_attention/{part}")
    dense(f"{t}.attention.output.dense",
          f"{o}/self_attention/attention_output")
    norm(f"{t}.attention.output.LayerNorm", f"{o}/self_attention_layer_norm")
    dense(f"{t}.intermediate.dense", f"{o}/intermediate")
    dense(f"{t}.output.dense", f"{o}/output")
    norm(f"{t}.output.LayerNorm", f"{o}/output_layer_norm")
    layer += 1
  dense("pooler.dense", "pooler_transform")
  return result
