"""Flags that are made of configurations, and those that several tools have."""

import dataclasses
import functools
import os
import pathlib
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import AdapterInfo, find_encoder_source
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.sources import locate
from tf_adapters.errors import InputError
from tf_adapters.files.reading import check_is_file
from tf_adapters.modeling.config import JsonConfig, Option, options
from tf_adapters.tools import _command

if TYPE_CHECKING:
  from tf_adapters.serving.bank import AdapterBank

# Of `RunConfig`, for `define`.
ENCODER = ("encoder", "vocab_file", "do_lower_case")

_Config = TypeVar("_Config", bound=JsonConfig)


class _AdapterFiles(flags.ArgumentParser):
  """Reads the paths of adapter files, with commas between them."""

  def parse(self, argument: str | list[str]) -> list[str]:
    if isinstance(argument, list):
      return argument
    paths = ([argument] if os.path.exists(argument)
             else [path.strip() for path in argument.split(",")])
    if not all(paths):
      raise ValueError("must name adapter files")
    if any(" " in path and not os.path.exists(path.partition("=")[2] or path)
           for path in paths):
      raise ValueError("adapter files have commas between them")
    return paths

  def flag_type(self) -> str:
    return "comma separated list of adapter files"


# --help shows a flag where `define` or `use` was called, not here.
flags.disclaim_key_flags()

flags.DEFINE(
    _AdapterFiles(), "adapter", None,
    "Adapter file, or a repository of the Hugging Face Hub (hf://owner/name). "
    "predict, export and serve take several, with commas between them; "
    "NAME=PATH gives a task another name than the file does. An existing path "
    "may have commas in it.", serializer=flags.CsvListSerializer(","))
flags.DEFINE_string("output", None, "File or folder to write; see above.")
flags.DEFINE_list(
    "labels", None,
    "Label names in the order of the outputs, with commas between them, for an "
    "adapter file of another library that says none.")


class _Parser(flags.ArgumentParser):
  """Reads an option from text, and holds it to its bounds."""

  def __init__(self, option: Option):
    super().__init__()
    self._option = option
    self._convert = {int: flags.IntegerParser().convert,
                     float: flags.FloatParser().convert, str: str}[option.kind]
    if option.kind is not str or option.choices:
      self.syntactic_help = option.expected

  def parse(self, argument: Any) -> Any:
    value = argument
    if isinstance(argument, str):
      value = self._read(argument)
    if not self._option.takes(value):
      raise ValueError(f"expected {self._option.expected}")
    if self._option.check is not None:
      self._option.check(value)
    return value

  def _read(self, text: str) -> Any:
    if self._option.parse is not None:
      return self._option.parse(text)
    parts = text.split(",") if self._option.many else [text]
    try:
      values = tuple(map(self._convert, parts))
    except ValueError:
      raise ValueError(f"expected {self._option.expected}") from None
    return values if self._option.many else values[0]

  def flag_type(self) -> str:
    return self._option.kind.__name__


def define(config: type, *names: str) -> None:
  """Gives the calling tool flags of a configuration's options.

  A flag that another tool has defined is that one's: here it may have another
  default, which `read` knows, further help, and further choices, of which the
  configuration knows its own. A text whose default is empty has to be given, or
  is made of others: its flag has no default.

  Args:
    config: the configuration, whose fields are made by `option`.
    names: of the options; all of them where none is named.
  """
  for option in options(config).values():
    if names and option.name not in names:
      continue
    if option.name not in flags.FLAGS:
      _define(_first(config, option.name))
    flag = flags.FLAGS[option.name]
    if option.help not in flag.help:
      flag.help += f" {option.help}"
    if choices := getattr(flag.parser, "enum_values", None):
      flag.parser.enum_values = list(
          dict.fromkeys([*choices, *option.choices]))
    flags.declare_key_flag(option.name)


def _first(config: type, name: str) -> Option:
  """Returns an option as the base class has it that defines it."""
  return next(options(base)[name] for base in reversed(config.__mro__)
              if dataclasses.is_dataclass(base) and name in options(base))


def _define(option: Option) -> None:
  default = None if option.default == "" else option.default
  if option.kind is bool:
    flags.DEFINE_bool(option.name, default, option.help)
  elif option.choices and not option.many:
    flags.DEFINE_enum(option.name, default, option.choices, option.help)
  else:
    flags.DEFINE(_Parser(option), option.name, default, option.help)


def use(*names: str) -> None:
  """Gives the calling tool flags of this module."""
  for name in names:
    flags.declare_key_flag(name)


def read(config: type[_Config], values: flags.FlagValues = flags.FLAGS
         ) -> _Config:
  """Makes the configuration that the flags of its options describe.

  Raises:
    InputError: they contradict each other.
  """
  return config(**{name: value(config, name, values)
                   for name in options(config)})


def value(config: type, name: str,
          values: flags.FlagValues = flags.FLAGS) -> Any:
  """Returns a flag's value, or its default in a configuration.

  Args:
    config: the configuration; a flag that is none of its options has a default
      of its own.
    name: of the flag.
    values: the flags.
  """
  own = options(config).get(name)
  return (own.default if own is not None and values[name].using_default_value
          else values[name].value)


def check_encoder() -> None:
  """Refuses an encoder or a vocabulary that is not there; reads neither.

  Raises:
    InputError: there is none of that name.
  """
  if flags.FLAGS.encoder is not None:
    locate(flags.FLAGS.encoder)
  if flags.FLAGS.vocab_file is not None:
    check_is_file(flags.FLAGS.vocab_file)


def free(given: str) -> pathlib.Path:
  """Checks the path of a file that is to be written, and returns it.

  Raises:
    InputError: it is there already, or its folder is not.
  """
  path = pathlib.Path(given)
  if not path.parent.is_dir():
    raise InputError(f"{path}: there is no folder {path.parent}")
  if path.exists() and not flags.FLAGS.overwrite:
    raise InputError(f"{path}: is there already: choose another output, or "
                     "--overwrite this one")
  return path


def refuse(what: str, *names: str) -> None:
  """Refuses flags that have no effect here.

  Args:
    what: they are for.
    names: of the flags.

  Raises:
    InputError: one of them was given.
  """
  for name in names:
    if not flags.FLAGS[name].using_default_value:
      raise InputError(f"--{name}: for {what} only")


def adapters() -> list[tuple[str | None, str]]:
  """Returns (name or None, path) of each adapter file.

  Raises:
    InputError: --adapter was not given.
  """
  _command.require("adapter")
  pairs = []
  for text in flags.FLAGS.adapter:
    name, equals, path = text.partition("=")
    named = equals and not os.path.exists(text)
    pairs.append((name, found(path)) if named else (None, found(text)))
  return pairs


def one_adapter() -> str:
  """Returns the adapter file of a tool that takes one, as it was given.

  Raises:
    InputError: --adapter was not given, or names several.
  """
  _command.require("adapter")
  first, *others = flags.FLAGS.adapter
  if others:
    raise InputError(f"--adapter: takes one adapter file here, not "
                     f"{1 + len(others)}; predict, export and serve take "
                     "several")
  return first


@functools.cache  # a command line asks once, and sees one commit
def found(path: str) -> str:
  """Returns the folder of an adapter file, fetched if it is a repository's.

  Raises:
    InputError: it cannot be fetched.
  """
  return os.fspath(find_adapter(path))


def infos() -> dict[str, AdapterInfo]:
  """Reads the information of each task's adapter file.

  Raises:
    InputError: one is none.
  """
  labels = flags.FLAGS.labels
  if labels is not None and len(adapters()) > 1:
    raise InputError("--labels: for one adapter file; files of this library, "
                     "which tf-adapters convert writes, have their labels")
  found = [(name, open_adapter(path, labels).info)
           for name, path in adapters()]
  return {name or info.task: info for name, info in found}


def bank_dtype() -> str:
  """Returns the `dtype` of a bank that --mixed_precision means."""
  precision = flags.FLAGS.mixed_precision
  return "float32" if precision == "off" else precision


def load_bank(dtype: str = "float32") -> "AdapterBank":
  """Loads the bank that flags describe; without --encoder the first adapter's.

  Args:
    dtype: as for `AdapterBank`.

  Raises:
    InputError: as for `AdapterBank`.
  """
  from tf_adapters.serving.bank import AdapterBank
  values = flags.FLAGS
  named = adapters()
  name, first = named[0]
  encoder = values.encoder or find_encoder_source(
      first, open_adapter(first, values.labels).info)
  bank = AdapterBank(encoder, vocab_file=values.vocab_file,
                     lower_case=values.do_lower_case, dtype=dtype)
  if values.labels is None:
    bank.extend(named)
  else:
    bank.add(first, name, values.labels)
  return bank
