"""Flags of a bank of tasks, the same for every tool that loads one."""

import os
from typing import TYPE_CHECKING

from absl import flags

from tf_adapters.adapter_files.info import (
    AdapterInfo,
    find_encoder_source,
    read_info,
)
from tf_adapters.tools import _command, _encoder_flags

if TYPE_CHECKING:
  from tf_adapters.serving.bank import AdapterBank

flags.adopt_module_key_flags(_encoder_flags)
flags.DEFINE_list(
    "adapters", None,
    "Adapter files, with commas between them; NAME=PATH gives a task another "
    "name than the file does. What exists as a path is one.")
flags.register_validator(
    "adapters", lambda paths: paths is None or (paths and all(paths)),
    "must name adapter files")


def adapters() -> list[tuple[str | None, str]]:
  """(name or None, path) of each adapter file.

  Raises:
    InputError: --adapters was not given.
  """
  _command.require("adapters")
  pairs = []
  for text in flags.FLAGS.adapters:
    name, equals, path = text.partition("=")
    named = equals and not os.path.exists(text)
    pairs.append((name, path) if named else (None, text))
  return pairs


def infos() -> dict[str, AdapterInfo]:
  """What the adapter files say of each task.

  Raises:
    InputError: one is none.
  """
  read = [(name, read_info(path)) for name, path in adapters()]
  return {name or info.task: info for name, info in read}


def load_bank() -> "AdapterBank":
  """The bank that the flags describe; without --encoder the first adapter's.

  Raises:
    InputError: as for `AdapterBank`.
  """
  from tf_adapters.serving.bank import AdapterBank
  values = flags.FLAGS
  named = adapters()
  first = named[0][1]
  encoder = values.encoder or find_encoder_source(first, read_info(first))
  bank = AdapterBank(encoder, vocab_file=values.vocab_file,
                     lower_case=values.do_lower_case)
  bank.extend(named)
  return bank
