"""Fetch an adapter file from the Hugging Face Hub into a folder.

Example:
  tf-adapters pull --adapter=hf://me/bert-base-mrpc@main --output=adapters/mrpc

The file is checked as a whole. Its encoder is not fetched. An adapter file that
is there already is an error without --overwrite. Needs the package
huggingface_hub (pip install -e '.[hub]').
"""

import sys

from absl import flags

from tf_adapters.adapter_files.info import CONFIG_NAME
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.hugging_face_hub import Repository, check_library
from tf_adapters.files.writing import check_vacant
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import RunConfig

_flags.define(RunConfig, "overwrite")
_flags.use("adapter", "output")


def _pull() -> None:
  _command.require("adapter", "output")
  values = flags.FLAGS
  adapter = _flags.one_adapter()
  check_library(str(Repository.parse(adapter)))
  check_vacant(values.output, CONFIG_NAME if values.overwrite else "")
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.adapter_files.sharing import pull_adapter
  path = pull_adapter(adapter, values.output)
  info = open_adapter(path, with_head=False).info
  _command.print_table({
      "task": info.task, "encoder": info.encoder["source"],
      "written": str(path)})


def main() -> None:
  """Runs `tf-adapters pull`."""
  _command.run(sys.modules[__name__], _pull)
