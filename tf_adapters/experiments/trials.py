"""Makes the trials of a spec: runs with a name each.

How the text of a flag is read is the command line's business: it comes as
`RunFlags`. How trials are run is `sweep`'s.
"""

import dataclasses
import hashlib
import itertools
import pathlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tf_adapters.errors import InputError
from tf_adapters.experiments.spec import MOST_TRIALS, Range, Spec
from tf_adapters.training.run_checks import check
from tf_adapters.training.run_config import RunConfig, flag_text
from tf_adapters.training.run_folder import ACTIONS
from tf_adapters.training.unread_flags import (
    unread_flags,
    unread_method_flags,
    why_unread,
)

_LONGEST_NAME = 200  # file systems take 255 bytes


class RunFlags(Protocol):
  """A reader of the flags of a tool's runs."""

  def check(self, name: str, text: str) -> None:
    """Raises InputError for a value that a flag refuses."""

  def config(self, values: Mapping[str, str]) -> RunConfig:
    """Makes the run that flags describe; raises InputError where it is none."""


@dataclasses.dataclass(frozen=True)
class Trial:
  """A run of a sweep.

  Attributes:
    name: its folder's, below the sweep's trials/: the task, the setting and the
      seed. It says nothing of what the sweep tries beside it, so it stays when
      a sweep grows.
    task: the task's name in the sweep.
    methods: those that it is tried for.
    settings: flag -> text, as the methods set it, and as the task tries it
      beside its own; except for flags that make no other run, such as
      eval_batch_size.
    config: the run.
    selects: whether its seed is one of those by which settings are selected.
  """

  name: str
  task: str
  methods: tuple[str, ...]
  settings: Mapping[str, str]
  config: RunConfig
  selects: bool = True

  @property
  def seed(self) -> int:
    return self.config.seed

  @property
  def setting(self) -> str:
    """The settings as the name has them."""
    return self.name.split("/")[1]


def expand(spec: Spec, flags: RunFlags,
           output_dir: pathlib.Path) -> list[Trial]:
  """Makes the trials of a sweep, in an order that is not that of keys.

  What several methods have in common is one trial.

  Args:
    spec: the sweep.
    flags: reads the flags of its tool.
    output_dir: the sweep's folder.

  Raises:
    InputError: a flag refuses its value, or flags contradict each other.
  """
  if spec.count() > MOST_TRIALS:
    raise InputError(f"{spec.source}: {spec.count():,} trials, expected at "
                     f"most {MOST_TRIALS:,}")
  _check_values(spec, flags)
  trials: dict[str, Trial] = {}
  for task, of_task in sorted(spec.tasks.items()):
    of_task = {**spec.flags, **of_task}
    if name := {"glue": "task_name", "train": "name"}.get(spec.tool):
      of_task.setdefault(name, task)
    for method in sorted(spec.methods):
      for setting, of_setting in itertools.product(
          spec.methods[method].settings(), spec.settings_of(task)):
        for trial in _trials(spec, flags, output_dir, task, of_task, method,
                             {**setting, **of_setting}):
          if trial.name in trials:
            methods = trials[trial.name].methods
            trial = dataclasses.replace(trial, methods=tuple(
                dict.fromkeys([*methods, method])))
          trials[trial.name] = trial
  return list(trials.values())


def check_flags_read(spec: Spec, trials: Sequence[Trial]) -> None:
  """Refuses flags of methods under `flags` that no trial reads.

  Args:
    spec: the sweep, with all of its methods.
    trials: what `expand` makes of it.

  Raises:
    InputError: there is one.
  """
  for name in spec.flags:
    if all(name in unread_method_flags(trial.config) for trial in trials):
      raise InputError(f"{spec.source}: flags.{name}: "
                       f"{why_unread(trials[0].config, name)}")


def _check_values(spec: Spec, flags: RunFlags) -> None:
  """Refuses single values, by the key where they stand."""
  groups: list[tuple[str, Mapping[str, Any]]] = [("flags", spec.flags)]
  groups += [(f"tasks.{name}", values) for of_tasks in (
      spec.tasks, spec.task_values) for name, values in of_tasks.items()]
  groups += [(f"methods.{name}", method.values)
             for name, method in spec.methods.items()]
  for group, values in groups:
    for name, value in values.items():
      match value:
        case str():
          texts: tuple[str, ...] = (value,)
        case Range():
          texts = (str(value.low), str(value.high))
        case _:
          texts = value
      for text in texts:
        try:
          if text != text.rstrip():  # which is lost in a flag file
            raise InputError(f"{text!r} ends with a blank")
          flags.check(name, text)
        except InputError as error:
          raise InputError(f"{spec.source}: {group}.{name}: {error}") from None


def _trials(spec: Spec, flags: RunFlags, output_dir: pathlib.Path, task: str,
            of_task: Mapping[str, str], method: str,
            setting: Mapping[str, str]) -> Iterator[Trial]:
  """Makes the trials of a setting: one for each seed."""
  # Thousands of trials would fill a disk; adapters are what is wanted of them.
  values = {"keep_checkpoints": "false", **of_task, **setting,
            "do_train": "true", "do_eval": "true",
            "output_dir": str(output_dir)}
  try:
    config = flags.config(values)
    # What is said of all trials may concern some of them only.
    config = dataclasses.replace(config, **{
        name: getattr(type(config), name) for name in unread_flags(config)
        if name in spec.flags and name not in setting})
    check(config)
    unread = sorted(set(unread_method_flags(config)) & setting.keys())
    if unread:
      raise InputError(f"{unread[0]} {why_unread(config, unread[0])}")
  except InputError as error:
    raise InputError(
        f"{spec.source}: methods.{method}, task {task}: {error}") from None
  # The same value may be written in several ways.
  settings = {name: flag_text(getattr(config, name))
              for name in sorted(setting.keys() - ACTIONS)}
  for seed in spec.seeds_of(task):
    name = f"{task}/{_setting_name(settings)}/seed={seed}"
    yield Trial(
        name, task, (method,), settings, dataclasses.replace(
            config, seed=seed, output_dir=str(output_dir / "trials" / name)),
        seed in spec.selection_seeds)


def _setting_name(settings: Mapping[str, str]) -> str:
  """Makes a folder's name for settings, another one for each.

  Example:
    >>> _setting_name({"learning_rate": "3e-05", "tuning": "top_layers:1"})
    'learning_rate=3e-05-tuning=top_layers:1'
  """
  # Commas stand between paths on command lines.
  name = "-".join(
      f"{name}={urllib.parse.quote(text, safe=':,').replace(',', '+')}"
      for name, text in settings.items()) or "default"
  if len(name) > _LONGEST_NAME:
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    name = f"{name[:_LONGEST_NAME - 17]}-{digest}"
  return name
