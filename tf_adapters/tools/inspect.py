"""Say what an encoder's checkpoint or an adapter file holds, and check it.

Examples:
  tf-adapters inspect --encoder=uncased_L-12_H-768_A-12/bert_model.ckpt
  tf-adapters inspect --adapter=runs/mrpc/adapter
  tf-adapters inspect --adapter=run0/adapter --compare_with=run1/adapter
"""

import sys
from typing import TYPE_CHECKING

from absl import flags

from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.errors import InputError
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import RunConfig

if TYPE_CHECKING:
  from tf_adapters.adapter_files.merging import AdapterComparison

_flags.define(RunConfig, *_flags.ENCODER)
_flags.use("adapter", "labels")
flags.DEFINE_string(
    "compare_with", None,
    "Another adapter file, to compare with --adapter.")


def _inspect() -> None:
  values = flags.FLAGS
  if (values.encoder is None) == (values.adapter is None):
    raise InputError("give either --encoder or --adapter")
  if values.adapter is None:
    _flags.refuse("--adapter", "labels")
  else:
    _flags.refuse("--encoder", "vocab_file", "do_lower_case")
  adapter, other = None, None
  if values.adapter is not None:
    adapter = _flags.found(_flags.one_adapter())
    open_adapter(adapter, values.labels)
  if values.compare_with is not None:
    _command.require("adapter")
    other = _flags.found(values.compare_with)
    open_adapter(other, values.labels)
  _flags.check_encoder()
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.adapter_files.card import describe_adapter
  from tf_adapters.adapter_files.merging import compare_adapters
  from tf_adapters.checkpoints.loading import describe_encoder
  if adapter is not None and other is not None:
    _print_comparison(_flags.one_adapter(), values.compare_with,
                      compare_adapters(adapter, other, values.labels))
    return
  if adapter is not None:
    rows = describe_adapter(adapter, values.labels)
  else:
    rows = describe_encoder(
        values.encoder, values.vocab_file, values.do_lower_case)
  _command.print_table(rows)


def _print_comparison(a: str, b: str, comparison: "AdapterComparison") -> None:
  if comparison.settings:
    _command.print_columns([("setting", a, b), *(
        (name, *map(_cell, pair))
        for name, pair in comparison.settings.items())])
    print()
  if comparison.shapes:
    _command.print_columns([("shape", a, b), *(
        (name, *map(_cell, pair)) for name, *pair in comparison.shapes)])
    print()
  _command.print_columns([
      ("part", "parameters", "cosine", "|a-b|/|a|"), *(
          (name, ", ".join(f"{count:,}" for count in dict.fromkeys(
              part.parameters)), _cell(part.cosine), _cell(part.distance))
          for name, part in [*comparison.parts.items(),
                             ("total", comparison.total)])])


def _cell(value: object) -> str:
  match value:
    case None:
      return "-"
    case float():
      return f"{value:.6g}"
    case tuple() | list():
      return ", ".join(map(str, value))
  return str(value)


def main() -> None:
  """Runs `tf-adapters inspect`."""
  _command.run(sys.modules[__name__], _inspect)
