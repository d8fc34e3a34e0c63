"""The one table of variable names: ours, and what other formats call them.

Canonical names are those of TF Hub's BERT v3/v4 SavedModels. Only names and
shapes live here; reading files is the readers' business.
"""

import re

from tf_adapters.modeling.config import BertConfig

# Canonical place -> place in Hugging Face files (without a leading "bert.").
# {i} stands for the number of a Transformer layer.
_HUGGING_FACE = {
    "word_embeddings": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "type_embeddings": "embeddings.token_type_embeddings",
    "embeddings/layer_norm": "embeddings.LayerNorm",
    "transformer/layer_{i}/self_attention/query":
        "encoder.layer.{i}.attention.self.query",
    "transformer/layer_{i}/self_attention/key":
        "encoder.layer.{i}.attention.self.key",
    "transformer/layer_{i}/self_attention/value":
        "encoder.layer.{i}.attention.self.value",
    "transformer/layer_{i}/self_attention/attention_output":
        "encoder.layer.{i}.attention.output.dense",
    "transformer/layer_{i}/self_attention_layer_norm":
        "encoder.layer.{i}.attention.output.LayerNorm",
    "transformer/layer_{i}/intermediate":
        "encoder.layer.{i}.intermediate.dense",
    "transformer/layer_{i}/output": "encoder.layer.{i}.output.dense",
    "transformer/layer_{i}/output_layer_norm":
        "encoder.layer.{i}.output.LayerNorm",
    "pooler_transform": "pooler.dense",
}

# A layer norm's variables have two spellings in Hugging Face files.
_HUGGING_FACE_LEAVES = {
    "embeddings": ("weight",),
    "kernel": ("weight",),
    "bias": ("bias",),
    "gamma": ("weight", "gamma"),
    "beta": ("bias", "beta"),
}

_LAYER = re.compile(r"layer_(\d+)")


def shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
  """{canonical name: shape} of everything that a BERT checkpoint holds."""
  hidden = config.hidden_size
  heads = config.num_attention_heads
  size = hidden // heads
  wide = config.intermediate_size
  result = {
      "word_embeddings/embeddings": (config.vocab_size, hidden),
      "position_embedding/embeddings":
          (config.max_position_embeddings, hidden),
      "type_embeddings/embeddings": (config.type_vocab_size, hidden),
      "embeddings/layer_norm/gamma": (hidden,),
      "embeddings/layer_norm/beta": (hidden,),
  }
  for layer in range(config.num_hidden_layers):
    prefix = f"transformer/layer_{layer}"
    attention = f"{prefix}/self_attention"
    for part in ("query", "key", "value"):
      result[f"{attention}/{part}/kernel"] = (hidden, heads, size)
      result[f"{attention}/{part}/bias"] = (heads, size)
    result.update({
        f"{attention}/attention_output/kernel": (heads, size, hidden),
        f"{attention}/attention_output/bias": (hidden,),
        f"{prefix}/self_attention_layer_norm/gamma": (hidden,),
        f"{prefix}/self_attention_layer_norm/beta": (hidden,),
        f"{prefix}/intermediate/kernel": (hidden, wide),
        f"{prefix}/intermediate/bias": (wide,),
        f"{prefix}/output/kernel": (wide, hidden),
        f"{prefix}/output/bias": (hidden,),
        f"{prefix}/output_layer_norm/gamma": (hidden,),
        f"{prefix}/output_layer_norm/beta": (hidden,),
    })
  result["pooler_transform/kernel"] = (hidden, hidden)
  result["pooler_transform/bias"] = (hidden,)
  return result


def hugging_face_names(canonical: str) -> list[str]:
  """What a canonical variable may be called in a Hugging Face file.

  Args:
    canonical: one of `shapes`' names.

  Returns:
    The possible names, each without and with the prefix "bert.".
  """
  place, _, leaf = canonical.rpartition("/")
  layer = _LAYER.search(place)
  number = layer[1] if layer else ""
  theirs = _HUGGING_FACE[_LAYER.sub("layer_{i}", place)]
  theirs = theirs.replace("{i}", number)
  return [f"{prefix}{theirs}.{name}" for prefix in ("", "bert.")
          for name in _HUGGING_FACE_LEAVES[leaf]]
