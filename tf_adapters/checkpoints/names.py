"""The one table of variable names: ours, and what every other format says.

Canonical names are those of TF Hub's BERT v3/v4 SavedModels. Only names and
shapes live here; reading files is the readers' business.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.bert import BertConfig

# Canonical place -> what else it is called: in the TF1 release, whose names
# Hugging Face keeps (with dots), and in TF Hub's v1 and v2 SavedModels. A
# prefix such as bert/ or bert_model/ is not part of a place; {i} stands for the
# number of a Transformer layer.
_PLACES = {
    "word_embeddings": ("embeddings/word_embeddings",),
    "position_embedding": (
        "embeddings/position_embeddings",
        "embedding_postprocessor/position_embeddings"),
    "type_embeddings": (
        "embeddings/token_type_embeddings",
        "embedding_postprocessor/type_embeddings"),
    "embeddings/layer_norm": (
        "embeddings/LayerNorm",
        "embedding_postprocessor/layer_norm"),
    "transformer/layer_{i}/self_attention/query": (
        "encoder/layer_{i}/attention/self/query",
        "encoder/layer_{i}/self_attention/query"),
    "transformer/layer_{i}/self_attention/key": (
        "encoder/layer_{i}/attention/self/key",
        "encoder/layer_{i}/self_attention/key"),
    "transformer/layer_{i}/self_attention/value": (
        "encoder/layer_{i}/attention/self/value",
        "encoder/layer_{i}/self_attention/value"),
    "transformer/layer_{i}/self_attention/attention_output": (
        "encoder/layer_{i}/attention/output/dense",
        "encoder/layer_{i}/self_attention_output",
        "transformer/layer_{i}/self_attention_output"),
    "transformer/layer_{i}/self_attention_layer_norm": (
        "encoder/layer_{i}/attention/output/LayerNorm",
        "encoder/layer_{i}/self_attention_layer_norm"),
    "transformer/layer_{i}/intermediate": (
        "encoder/layer_{i}/intermediate/dense",
        "encoder/layer_{i}/intermediate"),
    "transformer/layer_{i}/output": (
        "encoder/layer_{i}/output/dense",
        "encoder/layer_{i}/output"),
    "transformer/layer_{i}/output_layer_norm": (
        "encoder/layer_{i}/output/LayerNorm",
        "encoder/layer_{i}/output_layer_norm"),
    "pooler_transform": ("pooler/dense",),
}
# Canonical leaf -> what else it is called; "" for none at all.
_TABLE = {"embeddings": ("", "weight")}
_DENSE = {"kernel": ("weight",), "bias": ()}
_LAYER_NORM = {"gamma": ("weight",), "beta": ("bias",)}

# Constants that PyTorch models keep among the encoder's variables.
_CONSTANTS = re.compile(r"embeddings/(position_ids|token_type_ids)$")
# Where no prefix tells the encoder's variables from others: how they begin.
_BEGINNINGS = re.compile(
    r"(embeddings|\w+_embeddings?|embedding_\w+|encoder|transformer|pooler\w*)"
    r"/")
# What is known to lie beside an encoder: heads, counters, optimizers.
_BESIDE = re.compile(
    r"(bert/)?cls/|(.*/)?(mlm|masked_lm|lm_head|predictions|next_sentence\w*"
    r"|classifier|qa_outputs|output_weights|output_bias|logits|\w*classification"
    r"|global_step|save_counter|iteration|learning_rate|optimizer|Variable"
    r"|do_lower_case|beta_[12]|decay|\w+_power)(/|$)")

# Other architectures, told by the names of their variables. They are no BERTs,
# although some share its sub-layers.
_OTHER_FAMILIES = {
    "ALBERT": re.compile(
        r"albert|/inner_group_|transformer/self_attention/|albert_layer"),
    "ELECTRA": re.compile(r"electra|discriminator_predictions"),
    "DistilBERT": re.compile(r"distilbert|/q_lin/"),
    "RoBERTa": re.compile(r"roberta"),
    "DeBERTa": re.compile(r"deberta|/rel_embeddings"),
    "MobileBERT": re.compile(r"mobilebert|/bottleneck/"),
    "an encoder with factorised embeddings (as ALBERT, ELECTRA-small have)":
        re.compile(r"embedding_projection|embeddings_project|"
                   r"embedding_hidden_mapping_in"),
}

_LAYER = re.compile(r"\blayer_(\d{1,4})/")


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


def as_matrix(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
  """The shape of a variable in formats that know no attention heads.

  Args:
    name: canonical.
    shape: its canonical shape.

  Returns:
    (inputs, outputs) of a kernel, (outputs,) of a bias; others as they are.
  """
  if "/self_attention/" not in name:
    return shape
  if name.endswith("attention_output/kernel"):
    return shape[0] * shape[1], shape[2]
  if name.endswith("/kernel"):
    return shape[0], shape[1] * shape[2]
  return (math.prod(shape),)


@dataclasses.dataclass(frozen=True)
class Found:
  """An encoder's variables among the names of a file.

  Attributes:
    names: canonical name -> the file's name.
    beside: what the file holds besides: heads, optimizers, counters.
    unexpected: the part of `beside` that no known format puts there.
  """

  names: dict[str, str]
  beside: tuple[str, ...]
  unexpected: tuple[str, ...]

  @property
  def num_layers(self) -> int:
    """How many Transformer layers there are."""
    return len({match[1] for name in self.names
                if (match := _LAYER.search(name))})


def find_encoder(names: Iterable[str]) -> Found:
  """Finds a BERT among the variable names of a file, whatever its format.

  Prefixes ("bert/", "module/bert/", "bert_encoder_v2/"), separators, ":0" and
  the "_1" that TensorFlow appends to a repeated name do not matter.

  Args:
    names: of all variables in the file.

  Raises:
    InputError: there is no BERT, more than one, another architecture, or one
      with variables that no BERT has.
  """
  names = list(names)
  plain = {name: _plain(name) for name in names}
  for family, pattern in _OTHER_FAMILIES.items():
    for name in names:
      if pattern.search(plain[name]):
        raise InputError(f"it holds {family}, which is no BERT: {name}")
  matches: dict[str, dict[str, str]] = collections.defaultdict(dict)
  for name in names:
    if match := _match(plain[name]):
      canonical, prefix = match
      if prefix in matches[canonical]:
        raise InputError(
            f"two tensors are {canonical}: {matches[canonical][prefix]} and "
            f"{name}")
      matches[canonical][prefix] = name
  encoders = matches.get("word_embeddings/embeddings", {})
  if not encoders:
    raise InputError("not a BERT: there are no word embeddings in it")
  if len(encoders) > 1:
    raise InputError(
        f"it holds {len(encoders)} encoders: {', '.join(encoders.values())}")
  (prefix,) = encoders
  found = {canonical: candidates[prefix]
           for canonical, candidates in matches.items()
           if prefix in candidates}
  taken = set(found.values())
  beside = [name for name in names if name not in taken]
  unexpected = []
  for name in beside:
    if _is_known_beside(plain[name]):
      continue
    if prefix:
      inside = plain[name].startswith(prefix)
    else:
      inside = _BEGINNINGS.match(plain[name])
      unexpected.append(name)
    if inside:
      raise InputError(f"no BERT has a tensor {name}")
  return Found(found, tuple(beside), tuple(unexpected))


def _is_known_beside(plain: str) -> bool:
  """Whether a name is of a head, a counter, a constant or an optimizer."""
  # An optimizer's slot, or a moving average, is called after its variable.
  variable, _, _ = plain.rpartition("/")
  return bool(_CONSTANTS.search(plain) or _BESIDE.match(plain)
              or _match(variable))


def _plain(name: str) -> str:
  """The name with slashes, and without what TensorFlow appends to it."""
  # layer.0 is PyTorch's, layer_._0 that of transformers' TensorFlow models.
  name = re.sub(r"\blayer(?:\.|_\._)(\d+)\b", r"layer_\1", name)
  name = name.replace(".", "/")
  return re.sub(r"_\d+$", "", name.removesuffix(":0"))


def _spellings() -> dict[str, str]:
  """Every known name (with {i}) -> the canonical one (with {i})."""
  result = {}
  for place, others in _PLACES.items():
    leaves = _DENSE
    if place.endswith("layer_norm"):
      leaves = _LAYER_NORM
    elif place.endswith(("embeddings", "embedding")):
      leaves = _TABLE
    for leaf, other_leaves in leaves.items():
      for other in (place, *others):
        for spelling in (leaf, *other_leaves):
          result[f"{other}/{spelling}".removesuffix("/")] = f"{place}/{leaf}"
  return result


_CANONICAL = _spellings()


def _match(plain: str) -> tuple[str, str] | None:
  """(canonical name, prefix) of a name, or None for what is no BERT's."""
  layer = _LAYER.search(plain)
  parts = _LAYER.sub("layer_{i}/", plain, count=1).split("/")
  for start in range(len(parts)):
    canonical = _CANONICAL.get("/".join(parts[start:]))
    if canonical is not None:
      number = layer[1] if layer else ""
      prefix = "/".join([*parts[:start], ""])
      return canonical.replace("{i}", number), prefix
  return None
