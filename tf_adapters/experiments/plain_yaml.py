"""Reads YAML files whose values stay the texts that are written there."""

import pathlib
from typing import Any

import yaml

from tf_adapters.errors import InputError, first_line
from tf_adapters.files.reading import check_text, read_file

# Of the file, which PyYAML takes its time for, and of what it says.
_MOST_BYTES = 1 << 18
_MOST_VALUES = 100_000


def load_plain(path: pathlib.Path) -> Any:
  """Loads a YAML file as mappings, lists and texts.

  Returns:
    What it says; None of an empty file.

  Raises:
    InputError: it cannot be read, is no YAML, has a key twice or too many
      values; in one line with its name and, where it is known, the line.

  Example:
    >>> load_plain(pathlib.Path("a.yaml"))    # tuning: off
    {'tuning': 'off'}
  """
  content = read_file(path, _MOST_BYTES)
  check_text(path, content[:1000])
  try:
    return _Plain(path).value(yaml.compose(content, yaml.SafeLoader))
  except InputError:
    raise
  except (yaml.YAMLError, ValueError, OverflowError) as error:
    # The last two are of escaped characters that there are not.
    mark = getattr(error, "problem_mark", None)
    where = f":{mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or first_line(error)
    raise InputError(
        f"{path}{where}: not readable as YAML: {problem}") from None
  except RecursionError:
    raise InputError(f"{path}: not readable as YAML: it is nested too deeply, "
                     "or in itself") from None


class _Plain:
  """Makes values of a YAML file's parts: all stay as they are written.

  PyYAML's own values would be false for `off`, and a text for `3e-4`; and of a
  key that stands there twice it takes the last one. Aliases stand for what they
  name, so a few lines could say more than any memory holds.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._left = _MOST_VALUES

  def value(self, node: yaml.Node | None) -> Any:
    self._left -= 1
    if self._left < 0:
      raise InputError(f"{self._path}: has more than {_MOST_VALUES:,} values, "
                       "those that its aliases (*name) stand for included")
    match node:
      case yaml.MappingNode():
        result: dict[str, Any] = {}
        for key, value in node.value:
          where = f"{self._path}:{key.start_mark.line + 1}"
          if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{where}: expected a name in front of the colon")
          if key.value in result:
            raise InputError(f"{where}: {key.value} stands there twice")
          result[key.value] = self.value(value)
        return result
      case yaml.SequenceNode():
        return [self.value(value) for value in node.value]
      case yaml.ScalarNode():
        return node.value
    return None  # an empty file
