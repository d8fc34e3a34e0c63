"""Say what an encoder's checkpoint or an adapter file holds, and check it.

Examples:
  tf-adapters inspect --encoder=uncased_L-12_H-768_A-12/bert_model.ckpt
  tf-adapters inspect --adapter=runs/mrpc/adapter
"""

import sys

from absl import flags

from tf_adapters.adapter_file import describe_adapter
from tf_adapters.checkpoints.loading import describe_encoder
from tf_adapters.errors import InputError
from tf_adapters.tools import _command, _encoder_flags

flags.adopt_module_key_flags(_encoder_flags)
flags.DEFINE_string("adapter", None, "Folder of an adapter file.")


def _inspect() -> None:
  values = flags.FLAGS
  if (values.encoder is None) == (values.adapter is None):
    raise InputError("give either --encoder or --adapter")
  if values.adapter is not None:
    rows = describe_adapter(values.adapter)
  else:
    rows = describe_encoder(
        values.encoder, values.vocab_file, values.do_lower_case)
  _command.print_table(rows)


def main() -> None:
  """Entry point of `tf-adapters inspect`."""
  _command.run(sys.modules[__name__], _inspect)
