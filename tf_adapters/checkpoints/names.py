"""Finds an encoder among the variable names of a file, whatever its format.

What its family calls its layers is the family's business, how files are read
the readers'.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping

from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.table import ENCODERS, family_of

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

# Families that are not offered, told by the names of their variables: some
# share sub-layers with those that are.
OTHER_FAMILIES = {
    "DeBERTa": re.compile(r"deberta|/rel_embeddings"),
    "XLNet": re.compile(r"xlnet"),
}

_SCAFFOLD = re.compile(r"\btransformer_scaffold(?:_(\d+))?/")
_LAYER = re.compile(r"\blayer_(\d{1,4})/")


def shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
  """Returns {canonical name: shape} of everything that a checkpoint holds."""
  return family_of(config).shapes(config)


def not_offered() -> dict[str, re.Pattern[str]]:
  """Returns those of `OTHER_FAMILIES` that have no row in `ENCODERS`."""
  return {name: pattern for name, pattern in OTHER_FAMILIES.items()
          if name.lower() not in ENCODERS}


@dataclasses.dataclass(frozen=True)
class Found:
  """An encoder's variables among the names of a file.

  Attributes:
    family: the encoder's.
    names: canonical name -> the file's name.
    beside: what the file holds besides: heads, optimizers, counters.
    unexpected: the part of `beside` that no known format puts there.
  """

  family: EncoderFamily
  names: dict[str, str]
  beside: tuple[str, ...]
  unexpected: tuple[str, ...]

  @property
  def num_layers(self) -> int:
    """The number of Transformer layers."""
    return len({match[1] for name in self.names
                if (match := _LAYER.search(name))})


def find_encoder(names: Iterable[str],
                 family: EncoderFamily | None = None) -> Found:
  """Finds an encoder among the variable names of a file, whatever its format.

  Prefixes ("bert/", "module/bert/", "bert_encoder_v2/"), separators, ":0" and
  the "_1" that TensorFlow appends to a repeated name do not matter.

  Args:
    names: of all variables in the file.
    family: the encoder's, where the files say it; None for what the names tell:
      a BERT where they are no other family's.

  Raises:
    InputError: there is no encoder, more than one, one of another family, or
      one with variables that its family does not have.
  """
  names = list(names)
  plain = _plain_names(names)
  family = _family(plain, family)
  canonical_names = _canonical_names(family)
  matches: dict[str, dict[str, str]] = collections.defaultdict(dict)
  is_beside = family.beside.search if family.beside else lambda _: None
  for name in names:
    if is_beside(plain[name]):
      continue
    if match := _match(plain[name], canonical_names):
      canonical, prefix = match
      if prefix in matches[canonical]:
        raise InputError(
            f"two tensors are {canonical}: {matches[canonical][prefix]} and "
            f"{name}")
      matches[canonical][prefix] = name
  encoders = matches.get("word_embeddings/embeddings", {})
  if not encoders:
    article = "an" if family.title[0] in "AE" else "a"
    raise InputError(f"not {article} {family.title}: there are no word "
                     "embeddings in it")
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
    if is_beside(plain[name]) or _is_known_beside(
        plain[name], canonical_names):
      continue
    if prefix:
      inside = plain[name].startswith(prefix)
    else:
      inside = _BEGINNINGS.match(plain[name]) is not None
      unexpected.append(name)
    if inside:
      raise InputError(f"no {family.title} has a tensor {name}")
  return Found(family, found, tuple(beside), tuple(unexpected))


def _family(plain: Mapping[str, str],
            family: EncoderFamily | None) -> EncoderFamily:
  """Returns the family of a file's names: the one that is expected, or any.

  Args:
    plain: name -> its plain spelling.
    family: the one that is expected.

  Raises:
    InputError: the names are another family's.
  """
  for other in (*([family] if family else []), *ENCODERS.values()):
    found = [name for name in plain
             if other.marks and other.marks.search(plain[name])]
    if found and family not in (None, other):
      raise InputError(
          f"it holds {other.title}, which is no {family.title}: {found[0]}")
    if found:
      return other
  titles = " or ".join(other.title for other in ENCODERS.values())
  for title, pattern in not_offered().items():
    for name in plain:
      if pattern.search(plain[name]):
        raise InputError(f"it holds {title}, which is no {titles}: {name}")
  return family or BERT


def _is_known_beside(plain: str, canonical_names: Mapping[str, str]) -> bool:
  """Returns whether a name is of a head, a counter, a constant or an optimizer.
  """
  # An optimizer's slot, or a moving average, is called after its variable.
  variable, _, _ = plain.rpartition("/")
  return bool(_CONSTANTS.search(plain) or _BESIDE.match(plain)
              or _match(variable, canonical_names))


def _plain_names(names: Iterable[str]) -> dict[str, str]:
  """Returns names with slashes, layer_{i}, and without what TensorFlow appends.
  """
  plain = {}
  for name in names:
    # layer.0 and layers.0 are PyTorch's, layer_._0 that of transformers'
    # TensorFlow models, transformer_layer_0 that of tf-models' MobileBERT.
    spelled = re.sub(r"\b(?:layers?(?:\.|_\._)|transformer_layer_)(\d+)\b",
                     r"layer_\1", name).replace(".", "/")
    plain[name] = re.sub(r"_\d+$", "", spelled.removesuffix(":0"))
  # Keras counts the layers of an `EncoderScaffold`, from wherever it stands.
  counted = sorted({int(found[1] or 0) for name in plain.values()
                    if (found := _SCAFFOLD.search(name))})
  return {name: _SCAFFOLD.sub(
      lambda found: f"layer_{counted.index(int(found[1] or 0))}/", spelled)
          for name, spelled in plain.items()}


@functools.cache
def _canonical_names(family: EncoderFamily) -> dict[str, str]:
  """Returns {known name (with {i}): the canonical one (with {i})}."""
  result = {other: name for name, others in family.variables.items()
            for other in (name, *others)}
  for place, others in family.places.items():
    leaves: Mapping[str, tuple[str, ...]] = _DENSE
    if place.endswith("layer_norm"):
      leaves = _LAYER_NORM
    elif place.endswith(("embeddings", "embedding")):
      leaves = _TABLE
    for leaf, other_leaves in leaves.items():
      for other in (place, *others):
        for spelling in (leaf, *other_leaves):
          result[f"{other}/{spelling}".removesuffix("/")] = f"{place}/{leaf}"
  return result


def _match(plain: str,
           canonical_names: Mapping[str, str]) -> tuple[str, str] | None:
  """Returns (canonical name, prefix) of a name, or None for an unknown one.
  """
  layer = _LAYER.search(plain)
  parts = _LAYER.sub("layer_{i}/", plain, count=1).split("/")
  for start in range(len(parts)):
    canonical = canonical_names.get("/".join(parts[start:]))
    if canonical is not None:
      number = layer[1] if layer else ""
      prefix = "/".join([*parts[:start], ""])
      return canonical.replace("{i}", number), prefix
  return None
