"""Write any BERT as a TF Hub SavedModel (v4), with its preprocessing beside it.

Example:
  tf-adapters convert --encoder=biobert_v1.1/ --output=hub/biobert

--output is the SavedModel's folder; the preprocessing gets the same name with
_preprocess appended. What is there already is an error, but with --overwrite.
"""

import sys

from absl import flags

from tf_adapters.files.writing import SAVED_MODEL, check_vacant
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import RunConfig

_flags.define(RunConfig, *_flags.ENCODER, "overwrite")
_flags.use("output")
flags.DEFINE_integer(
    "preprocess_seq_length", DEFAULT_MAX_LENGTH,
    "Length of the sequences that the preprocessing makes.", lower_bound=5)


def _convert() -> None:
  _command.require("encoder", "output")
  values = flags.FLAGS
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


def main() -> None:
  """Entry point of `tf-adapters convert`."""
  _command.run(sys.modules[__name__], _convert)
