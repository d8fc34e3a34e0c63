"""Where an adapter file is: a folder, or a repository of the Hugging Face Hub.
"""

import os

from tf_adapters.adapter_files.info import CONFIG_NAME
from tf_adapters.adapter_files.tensors import WEIGHTS_NAME
from tf_adapters.checkpoints import hugging_face_hub

# All that is fetched of a repository, but for the card.
FILES = (CONFIG_NAME, WEIGHTS_NAME)


def find_adapter(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
  """The folder of an adapter file, fetched if it is a repository's.

  Args:
    path: a folder, which is returned as it is; or "hf://owner/name" with
      "@revision" or without.

  Raises:
    InputError: as for `hugging_face_hub.fetch`.
  """
  if not hugging_face_hub.is_repository(path):
    return path
  return hugging_face_hub.fetch(os.fspath(path), FILES)
