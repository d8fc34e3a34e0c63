"""The Hugging Face Hub's names of encoders that come from elsewhere."""

from collections.abc import Mapping
from typing import Any

from tf_adapters.checkpoints import hugging_face_hub
from tf_adapters.checkpoints.sources import HUB_ALIASES
from tf_adapters.modeling.fingerprints import WEIGHTS

# Handle of TF Hub, or alias -> name on the Hugging Face Hub.
_NAMES = {
    HUB_ALIASES[alias].removeprefix("https://tfhub.dev/"): f"google-bert/{name}"
    for alias, name in (
        ("bert_base_uncased", "bert-base-uncased"),
        ("bert_base_cased", "bert-base-cased"),
        ("bert_large_uncased", "bert-large-uncased"),
        ("bert_large_cased", "bert-large-cased"),
        ("bert_large_uncased_wwm", "bert-large-uncased-whole-word-masking"),
        ("bert_large_cased_wwm", "bert-large-cased-whole-word-masking"),
        ("bert_base_multilingual_cased", "bert-base-multilingual-cased"),
        ("bert_base_chinese", "bert-base-chinese"))
} | {
    f"tensorflow/small_bert/bert_en_uncased_{size}/2":
        f"google/bert_uncased_{size}"
    for size in (url.split("_uncased_")[1].removesuffix("/2")
                 for alias, url in HUB_ALIASES.items()
                 if alias.startswith("small_bert_"))
} | {"minilm_l6": "sentence-transformers/all-MiniLM-L6-v2"}

# Fingerprint of weights that are known -> alias.
_KNOWN_WEIGHTS = {
    "2f01a34ef7d5f477f486f7fc4dffe914430e54f1f304e624bd554c151bd54f81":
        "minilm_l6"}


def hugging_face_name(source: str) -> str | None:
  """Returns the Hugging Face Hub's name of an encoder, None if it is unknown.

  Those of TF Hub are the weights that their authors have released, as those of
  the Hugging Face Hub are.

  Example:
    >>> hugging_face_name("bert_base_uncased")
    'google-bert/bert-base-uncased'
  """
  if hugging_face_hub.is_repository(source):
    return hugging_face_hub.Repository.parse(source).name
  handle = HUB_ALIASES.get(source, source).removeprefix("https://tfhub.dev/")
  return _NAMES.get(handle)


def known_name(encoder: Mapping[str, Any]) -> str | None:
  """Returns the Hugging Face Hub's name of an adapter file's encoder, or None.

  Args:
    encoder: what the file says of it. A folder has the name of its weights, if
      they are known, or the one that another library's file gave it.
  """
  alias = _KNOWN_WEIGHTS.get(encoder.get(WEIGHTS, ""), "")
  return (hugging_face_name(encoder["source"]) or hugging_face_name(alias)
          or encoder.get("name") or None)
