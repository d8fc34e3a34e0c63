"""Write an encoder for TF Hub, or an adapter file for another library.

Examples:
  tf-adapters convert --encoder=biobert_v1.1/ --output=hub/biobert
  tf-adapters convert --adapter=runs/mrpc/adapter --to=peft --output=mrpc_peft
  tf-adapters convert --adapter=from_peft/ --labels=no,yes --to=tf_adapters \\
      --encoder=bert-base-uncased/ --output=adapters/mrpc

Of an encoder --output is the folder of a TF Hub SavedModel (v4); its
preprocessing gets the same name with _preprocess appended.
docs/reference/encoders.md says of which families. Of an adapter file it is the
folder of the other one, where that computes the same. What is there already is
an error without --overwrite.
"""

import sys

from absl import flags

from tf_adapters.adapter_files.info import CONFIG_NAME
from tf_adapters.adapter_files.opening import LIBRARIES, open_adapter
from tf_adapters.errors import InputError
from tf_adapters.files.writing import SAVED_MODEL, check_vacant
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import RunConfig

_flags.define(RunConfig, *_flags.ENCODER, "overwrite")
_flags.use("adapter", "labels", "output")
flags.DEFINE_enum(
    "to", None, LIBRARIES, "Library to write --adapter for.")
flags.DEFINE_integer(
    "preprocess_seq_length", DEFAULT_MAX_LENGTH,
    "Length of the sequences that the preprocessing makes.", lower_bound=5)


def _convert() -> None:
  values = flags.FLAGS
  if values.adapter is not None:
    _convert_adapter()
    return
  _flags.refuse("--adapter", "to", "labels")
  if values.encoder is None:
    raise InputError("--encoder must be given, or --adapter")
  _command.require("output")
  check_vacant(values.output, SAVED_MODEL if values.overwrite else "")
  _flags.check_encoder()
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.checkpoints.hub_export import (
      export_hub,
      preprocessing_path,
  )
  from tf_adapters.checkpoints.loading import load_encoder
  from tf_adapters.modeling.fingerprints import in_words
  encoder = load_encoder(values.encoder, vocab_file=values.vocab_file,
                         lower_case=values.do_lower_case)
  assert encoder.origin is not None  # it was loaded
  folder = export_hub(
      encoder, values.output, values.preprocess_seq_length, values.overwrite)
  _command.print_table({
      "encoder": str(folder),
      "preprocessing": str(preprocessing_path(folder).resolve()),
      **in_words(encoder.origin.to_dict())})


def _convert_adapter() -> None:
  _command.require("to", "output")
  _flags.refuse("--encoder without --adapter", "vocab_file", "do_lower_case",
                "preprocess_seq_length")
  values = flags.FLAGS
  adapter = _flags.found(_flags.one_adapter())
  open_adapter(adapter, values.labels)
  check_vacant(values.output, CONFIG_NAME if values.overwrite else "")
  _flags.check_encoder()
  from tf_adapters.adapter_files.conversion import convert_adapter
  written = convert_adapter(
      adapter, values.output, values.to, values.encoder, values.labels)
  _command.print_table({"adapter": str(written), "library": values.to})


def main() -> None:
  """Runs `tf-adapters convert`."""
  _command.run(sys.modules[__name__], _convert)
