"""Reads flags of a tool's runs that come from elsewhere than a command line."""

import copy
from collections.abc import Mapping
from types import ModuleType

from absl import flags

from tf_adapters.errors import InputError
from tf_adapters.tools import _flag_mistakes
from tf_adapters.training.run_config import RunConfig


class FlagReader:
  """The flags of a tool that trains, apart from those of this process.

  Args:
    tool: the module.

  Example:
    >>> FlagReader(glue).config({"task_name": "rte", "do_train": "true", ...})
    GlueRunConfig(...)
  """

  def __init__(self, tool: ModuleType):
    self._tool = tool
    self._values = flags.FlagValues()
    for flag in flags.FLAGS.get_key_flags_for_module(tool):
      self._values[flag.name] = copy.deepcopy(flag)

  def check(self, name: str, text: str) -> None:
    """Raises InputError for a value that a flag refuses."""
    self._parse({name: text})

  def config(self, values: Mapping[str, str]) -> RunConfig:
    """Makes the run that flags describe.

    Raises:
      InputError: a flag refuses its value, or is missing.
    """
    self._parse(values)
    return self._tool.config_from_flags(self._values)

  def _parse(self, values: Mapping[str, str]) -> None:
    for name in self._values:
      self._values[name].unparse()
    try:
      self._values(["", *(f"--{name}={text}"
                          for name, text in values.items())])
    except flags.Error as error:
      raise InputError(_flag_mistakes.explained(
          error, list(self._values))) from None
