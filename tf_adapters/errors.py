"""Messages for users: errors that a command line knows, notes, warnings."""

import contextlib
import difflib
import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

from tf_adapters.switches import Switch

_LONGEST = 2000  # characters

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def printable(text: str) -> str:
  """Makes the text one line that does nothing to a terminal.

  Example:
    >>> printable("a\\nb")
    'a\\\\nb'
  """
  return "".join(
      character if character.isprintable()
      else character.encode("unicode_escape").decode()
      for character in text)


# Of this thread: others go on printing.
_QUIET = Switch("quiet")


def quietly() -> contextlib.AbstractContextManager[None]:
  """Keeps `say` from printing, but for errors, in this thread."""
  return _QUIET.on()


def has_bar() -> bool:
  """Returns whether Keras may draw its bar: there is a terminal for it."""
  return not _QUIET.is_on() and is_terminal(sys.stdout)


def is_terminal(stream: object) -> bool:
  """Returns whether a stream is a terminal: not all that users put there say.
  """
  isatty = getattr(stream, "isatty", None)
  return bool(isatty and isatty())


def say(text: str, error: bool = False) -> None:
  """Prints text, names from files and flags in it, and nothing but text.

  Args:
    text: its lines are printed as `printable` has them.
    error: whether to standard error.
  """
  if _QUIET.is_on() and not error:
    return
  print("\n".join(printable(line) for line in text.split("\n")),
        file=sys.stderr if error else sys.stdout, flush=True)


class InputWarning(UserWarning):
  """Something odd that may well be meant: its message is one line."""


def warn(message: str, stacklevel: int = 2) -> None:
  """Warns in one line, as an `InputError` has it.

  Args:
    message: what is odd, and the remedy.
    stacklevel: of the caller's line, as `warnings.warn` has it.
  """
  warnings.warn(_one_line(message), InputWarning, stacklevel=stacklevel + 1)


def listed(names: Sequence[str], most: int = 12) -> str:
  """Writes names with commas between them, as many as can be read.

  Example:
    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
  """
  # One more is as short as saying so.
  if len(names) <= most + 1:
    return ", ".join(names)
  return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def similar(name: str, names: Iterable[str],
            cutoff: float = 0.6) -> str | None:
  """Returns the one of some names that was probably meant, if any.

  Case does not count, nor do hyphens and the like.

  Args:
    name: what was given.
    names: what there is.
    cutoff: how alike they have to be, from 0 to 1.

  Example:
    >>> similar("SST-2", ["sst2", "stsb"])
    'sst2'
  """
  plain: dict[str, str] = {}
  for one in names:
    plain.setdefault(_plain(one), one)
  near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=cutoff)
  return plain[near[0]] if near else None


def _plain(name: str) -> str:
  return "".join(filter(str.isalnum, name)).casefold()


def check_name(name: object) -> None:
  """Refuses a name that TensorFlow, JSON and most terminals cannot take.

  Raises:
    InputError: it has bytes that are not UTF-8, or NUL.
  """
  try:
    content = str(name).encode()
  except UnicodeEncodeError:
    raise InputError(f"{name}: is not UTF-8: choose another name") from None
  if b"\0" in content:
    raise InputError(f"{name}: has a NUL: choose another name")


def first_line(error: Exception) -> str:
  """Returns the first line of a library's error, or else its type."""
  lines = str(error).strip().splitlines()
  return lines[0] if lines else type(error).__name__


class InputError(ValueError):
  """A user's mistake: its message says what is wrong and where, in one line.

  Names from files are part of many messages; what is not printable in them is
  escaped, and the middle of what is too long to be read is left out, so that a
  message stays one line whatever a file holds.

  Example:
    >>> str(InputError("no column 'a\\nb'"))
    "no column 'a\\\\nb'"
  """

  def __init__(self, message: str):
    super().__init__(_one_line(message))


@contextlib.contextmanager
def about(what: object) -> Iterator[None]:
  """Lets input errors inside begin with what they are about, a file mostly.

  Example:
    >>> with about("vocab.txt"):
    ...   raise InputError("lacks [UNK]")
    InputError: vocab.txt: lacks [UNK]
  """
  try:
    yield
  except InputError as error:
    raise InputError(f"{what}: {error}") from None


def _one_line(message: str) -> str:
  if len(message) > _LONGEST:
    message = f"{message[:_LONGEST // 2]} ... {message[-_LONGEST // 2:]}"
  return printable(message)


def names_arguments(
    hints: Mapping[str, str] = types.MappingProxyType({}), **synonyms: str,
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
  """Makes a function answer wrong and missing arguments in one line.

  Args:
    hints: what an argument is called elsewhere, and what to do here.
    **synonyms: what an argument is called elsewhere, and what here.

  Returns:
    A decorator; what it returns has the function's signature, and raises
    InputError for other arguments, and where one is missing.

  Example:
    >>> @names_arguments(lr="learning_rate")
    ... def fit(epochs=3, *, learning_rate=0.1): ...
    >>> fit(lr=1)
    InputError: fit takes no lr: did you mean learning_rate?
  """

  def decorated(
      function: Callable[_Arguments, _Result],
  ) -> Callable[_Arguments, _Result]:
    signature = inspect.signature(function)
    parameters = signature.parameters
    by_place = [name for name, one in parameters.items()
                if one.kind is one.POSITIONAL_OR_KEYWORD]
    others = [name for name in parameters if name not in by_place]

    @functools.wraps(function)
    def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
      for name in kwargs:
        if name not in parameters:
          near = synonyms.get(name)
          if near not in parameters:
            near = similar(name, parameters)
          hint = hints.get(name) or (near and f"did you mean {near}?")
          raise InputError(f"{function.__name__} takes no {name}"
                           + (f": {hint}" if hint else ""))
      if others and len(args) > len(by_place):
        raise InputError(
            f"{function.__name__} takes {listed(by_place[1:])} by their place: "
            "name what follows, as in "
            + ", ".join(f"{name}=..." for name in others[:2]))
      try:
        signature.bind(*args, **kwargs)
      except TypeError as error:
        raise InputError(f"{function.__name__}: {error}") from None
      return function(*args, **kwargs)

    return checked

  return decorated


class WorkerLost(Exception):
  """Another process of the run has ended: call the same command again."""
