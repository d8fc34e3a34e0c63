"""Finds an adapter file: in a folder, or in a Hugging Face Hub repository."""

import os

from tf_adapters.adapter_files import adapterhub, peft
from tf_adapters.adapter_files.adapterhub_heads import HEAD_CONFIG, HEAD_WEIGHTS
from tf_adapters.adapter_files.info import CONFIG_NAME
from tf_adapters.adapter_files.tensors import WEIGHTS_NAME
from tf_adapters.checkpoints import hugging_face_hub

# Files of weights, and what other libraries write in their place: torch files,
# which are asked for where there is nothing else.
_WEIGHTS = {WEIGHTS_NAME: adapterhub.WEIGHTS[1],
            peft.WEIGHTS[0]: peft.WEIGHTS[1]}
# One of these has the weights, whoever wrote the file.
WEIGHTS_NAMES = (*_WEIGHTS, *_WEIGHTS.values())
_HEAD, _TORCH_HEAD = HEAD_WEIGHTS
# All that is fetched of a repository, except for these and the card.
FILES = (CONFIG_NAME, *_WEIGHTS, HEAD_CONFIG, _HEAD)
TORCH_FILES = (*_WEIGHTS.values(), _TORCH_HEAD)


def find_adapter(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
  """Finds the folder of an adapter file, fetched if it is a repository's.

  Args:
    path: a folder, which is returned as it is; or "hf://owner/name" with
      "@revision" or without.

  Raises:
    InputError: as for `hugging_face_hub.fetch`.
  """
  if not hugging_face_hub.is_repository(path):
    return path
  source = os.fspath(path)
  folder = hugging_face_hub.fetch(source, FILES)
  further: list[str] = []
  if not any((folder / name).exists() for name in _WEIGHTS):
    further += _WEIGHTS.values()
  if (folder / HEAD_CONFIG).exists() and not (
      folder / _HEAD).exists():
    further.append(_TORCH_HEAD)
  if further:
    pinned = hugging_face_hub.Repository.parse(source).at(folder.name)
    hugging_face_hub.fetch(str(pinned), (CONFIG_NAME, *further))
  return folder
