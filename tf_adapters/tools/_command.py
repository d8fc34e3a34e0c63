"""Parts that all command lines share: help, quiet logs, errors of one line."""

import functools
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TextIO

from absl import app, flags, logging

from tf_adapters.errors import (
    InputError,
    InputWarning,
    WorkerLost,
    check_name,
    printable,
)
from tf_adapters.tools import _flag_mistakes, _help

SHARED = ("adapter", "labels", "output")  # that `_flags` defines
# What to say after Ctrl-C where a run can be resumed.
RESUMES = ("interrupted; the same command goes on from the newest checkpoint; "
           "with --overwrite it begins anew")


def run(tool: ModuleType, main: Callable[[], object],
        interrupted: str = "interrupted",
        config: type | None = None) -> None:
  """Parses the flags and runs a tool.

  A user's mistake ends with one line on standard error and status 1, or 2 where
  the flags cannot be parsed; --help shows the tool's own flags, --helpfull
  those of every library too. A process whose run has lost another worker starts
  itself again.

  Args:
    tool: the module that defines the flags; its docstring is the help's head.
    main: what to do.
    interrupted: what to say after Ctrl-C.
    config: what its flags are of, for its --help: see `_help.help_text`.
  """

  def parse(argv: list[str]) -> list[str]:
    argv[1:] = map(_with_home, argv[1:])
    if {"--help", "-help", "-h"} & set(argv[1:]):
      print(_help.help_text(tool, config))
      sys.exit(0)
    names = _names(tool)
    try:
      rest = flags.FLAGS(argv)
      _check_own(names)
      return rest
    except (flags.Error, UnicodeDecodeError) as error:
      # What cannot be decoded is a flag file.
      message = printable(_flag_mistakes.explained(error, names))
      print(f"error: {message} (--help lists the flags)", file=sys.stderr)
      sys.exit(2)

  def guarded(argv: list[str]) -> None:
    if not flags.FLAGS["verbosity"].present:
      logging.set_verbosity(logging.WARNING)
    try:
      for argument in sys.argv:
        check_name(argument)
      if len(argv) > 1:
        raise InputError(_flag_mistakes.stray(argv[1:], _names(tool)))
      with warnings.catch_warnings():
        warnings.showwarning = functools.partial(_show, _names(tool))
        main()
    except InputError as error:
      message = _flag_mistakes.with_dashes(str(error), _names(tool))
      print(f"error: {message}", file=sys.stderr)
      sys.exit(1)
    except WorkerLost as error:
      # The cluster cannot be joined again in this process.
      print(f"{error}: starting again, to wait for it", file=sys.stderr,
            flush=True)
      os.execv(sys.executable, sys.orig_argv)
    except KeyboardInterrupt:
      print(interrupted, file=sys.stderr)
      sys.exit(130)

  app.run(guarded, flags_parser=parse)


def _names(tool: ModuleType) -> list[str]:
  """Names of a tool's own flags."""
  return [flag.name for flag in flags.FLAGS.get_key_flags_for_module(tool)]


def _with_home(argument: str) -> str:
  """Expands a path below ~ in a flag, which shells leave alone behind a "="."""
  flag, equals, value = argument.partition("=")
  return (f"{flag}={os.path.expanduser(value)}"
          if equals and value.startswith("~/") else argument)


def _show(names: Sequence[str], message: Warning | str,
          category: type[Warning],
          filename: str, lineno: int, file: TextIO | None = None,
          line: str | None = None) -> None:
  """Shows a warning of ours in one line, without the code that it is from."""
  ours = _flag_mistakes.with_dashes(str(message), names)
  text = (f"warning: {ours}\n" if issubclass(category, InputWarning)
          else warnings.formatwarning(
              message, category, filename, lineno, line))
  (file or sys.stderr).write(text)


def _check_own(names: Sequence[str]) -> None:
  """Refuses flags of other tools that are defined for all of them.

  Raises:
    UnrecognizedFlagError: there is one.
  """
  for name in SHARED:
    if (name in flags.FLAGS and flags.FLAGS[name].present
        and name not in names):
      raise flags.UnrecognizedFlagError(name, str(flags.FLAGS[name].value))


def require(*names: str, values: flags.FlagValues = flags.FLAGS) -> None:
  """Raises InputError for a flag that was not given."""
  for name in names:
    if values[name].value is None:
      raise InputError(f"--{name} must be given (--help says what it is)")


def typed() -> set[str]:
  """Names of the flags on the command line itself, not in a flag file."""
  names = {argument.lstrip("-").partition("=")[0]
           for argument in sys.argv[1:] if argument.startswith("-")}
  return names | {name.removeprefix("no") for name in names}


def print_table(rows: Mapping[str, str]) -> None:
  """Prints what and value, line by line."""
  print_columns(list(rows.items()))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
  """Prints rows of the same number of cells, in columns."""
  rows = [[printable(cell) for cell in row] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows)]
  for row in rows:
    print("  ".join(cell.ljust(width)
                    for cell, width in zip(row, widths)).rstrip())
