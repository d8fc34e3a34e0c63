"""Chooses the files of a Hugging Face Hub repository that are an encoder."""

import pathlib

from tf_adapters.checkpoints import hugging_face_hub
from tf_adapters.errors import InputError
from tf_adapters.files.reading import read_json

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"

# All that `hugging_face.read_hugging_face` opens, except for an index's files.
FILES = (
    "config.json", _WEIGHTS, _INDEX,
    "vocab.txt", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "bpe.codes",
    "spiece.model", "spm.model", "sentencepiece.bpe.model", "30k-clean.model",
    "modules.json", "config_sentence_transformers.json",
    "sentence_bert_config.json", "1_Pooling/config.json")


def fetch_encoder(source: str) -> pathlib.Path:
  """Fetches an encoder, if need be, and returns its folder.

  Its config.json, safetensors and vocabulary alone: no pickle, no code.

  Args:
    source: the repository, "hf://owner/name" with "@revision" or without.

  Raises:
    InputError: as for `hugging_face_hub.fetch`; or it has no safetensors.
  """
  folder = hugging_face_hub.fetch(source, FILES)
  if (folder / _WEIGHTS).exists():
    return folder
  if not (folder / _INDEX).exists():
    raise InputError(
        f"{source}: has no {_WEIGHTS}, and pickled weights, which can run any "
        "code, are not fetched: transformers writes safe ones: "
        f"AutoModel.from_pretrained({source.removeprefix('hf://')!r})"
        ".save_pretrained(FOLDER)")
  repository = hugging_face_hub.Repository.parse(source)
  return hugging_face_hub.fetch(
      str(repository.at(folder.name)), [FILES[0], *_shards(folder)])


def pinned_encoder(source: str) -> str | None:
  """Returns the encoder at the commit in the cache, which needs no network.

  Args:
    source: as for `fetch_encoder`.

  Returns:
    "hf://owner/name@commit"; None where the cache does not have all of it.
  """
  found = hugging_face_hub.pinned(source, FILES)
  if found is None:
    return None
  folder = hugging_face_hub.fetch(found, FILES)
  if (folder / _WEIGHTS).exists():
    return found
  if not (folder / _INDEX).exists():
    return None
  return hugging_face_hub.pinned(found, [FILES[0], *_shards(folder)])


def _shards(folder: pathlib.Path) -> list[str]:
  """Names the files of weights that an index has."""
  files = read_json(folder / _INDEX).get("weight_map")
  return sorted({
      name for name in (files.values() if isinstance(files, dict) else ())
      if isinstance(name, str) and name.endswith(".safetensors")
      and pathlib.PurePath(name).name == name})
