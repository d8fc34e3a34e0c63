"""Publish an adapter file on the Hugging Face Hub.

Example:
  tf-adapters push --adapter=runs/mrpc/adapter \\
      --repository=me/bert-base-mrpc --license=apache-2.0 --language=en

The repository is made if it is not there. Its card says what the file says;
what the file does not know, such as the license, is said if it is given. Needs
the package huggingface_hub (pip install -e '.[hub]') and a token that may
write: `hf auth login`, or HF_TOKEN.
"""

import sys

from absl import flags

from tf_adapters.adapter_files.info import read_info
from tf_adapters.checkpoints.hugging_face_hub import Repository, check_library
from tf_adapters.errors import InputError
from tf_adapters.tools import _command, _flags

_flags.use("adapter")
flags.DEFINE_string(
    "repository", None, "Repository of the Hugging Face Hub: owner/name.")
flags.DEFINE_bool("private", False, "Make a new repository a private one.")
flags.DEFINE_string(
    "license", None, "License of the adapter, by the Hub's name: apache-2.0.")
flags.DEFINE_string(
    "language", None, "Language of the texts, as ISO 639 has it: en.")
flags.DEFINE_list(
    "datasets", [],
    "Datasets that it was trained on, by the Hub's names (nyu-mll/glue), with "
    "commas between them.")


def _push() -> None:
  _command.require("adapter", "repository")
  values = flags.FLAGS
  if "/" not in values.repository:
    raise InputError(f"--repository={values.repository}: owner/name is wanted, "
                     f"such as me/{values.repository}")
  check_library(str(Repository.parse(values.repository)))
  adapter = _flags.one_adapter()
  read_info(adapter)
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.adapter_files.sharing import push_to_hub
  _command.print_table({"published": push_to_hub(
      adapter, values.repository, values.private, values.license,
      values.language, values.datasets)})


def main() -> None:
  """Runs `tf-adapters push`."""
  _command.run(sys.modules[__name__], _push)
