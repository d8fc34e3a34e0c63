"""Reads a sweep from its YAML file, and says which key of it is wrong.

Whether a flag takes its value is not known here: see `trials`.
"""

import collections
import dataclasses
import math
import pathlib
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tf_adapters.errors import InputError, similar
from tf_adapters.experiments.plain_yaml import load_plain
from tf_adapters.experiments.spec import (
    MOST_TRIALS,
    TOOLS,
    Method,
    Range,
    Spec,
)
from tf_adapters.training.run_folder import ACTIONS

V = TypeVar("V")
_PARTS = ("tool", "flags", "tasks", "seeds", "selection_seeds", "methods")
# Flag -> where a sweep takes it from.
_NOT_HERE = {
    "output_dir": "each trial has a folder of its own",
    "do_train": "every trial trains",
    "do_eval": "every trial is evaluated",
    "do_predict": "predict with the adapter files of what is selected",
    "overwrite": "remove the folder of a trial to run it anew",
    "seed": "seeds are listed under seeds",
    "task_name": "tasks are listed under tasks",
    "name": "tasks are listed under tasks",
}
_DISTRIBUTIONS = ("uniform", "log_uniform")
# Flags that say of which rows and labels scores are.
_OF_ROWS = (
    "task_name", "data_dir", "holdout", "data", "label_column", "problem_type",
    "validation_fraction", "test_fraction", "split_seed")
# And what else a task is, and what it selects by: no settings.
_OF_TASKS = (*_OF_ROWS, "best_metric", "max_train_examples", "text_column",
             "text_pair_column")


def read_spec(path: pathlib.Path, tasks: Sequence[str] | None = None,
              methods: Sequence[str] | None = None,
              overrides: Mapping[str, str] | None = None) -> Spec:
  """Reads a sweep.

  All values are the texts that a command line would have: `off`, `3e-4`. In a
  method a single value is fixed, of a list each is tried in all combinations;
  with `draws` settings are drawn at random, from lists and from ranges. With
  `selection_seeds` settings are compared by these seeds, and the others are for
  those that are selected. `seeds: 20` stands for 0 to 19; a task can have seeds
  of its own. Of a list in a task the first value is the task's, and the others
  are tried beside it with all settings.

  Args:
    path: the YAML file.
    tasks: those of its tasks that are wanted; None for all.
    methods: those of its methods that are wanted; None for all.
    overrides: flag -> text, which take the place of whatever the file says.

  Raises:
    InputError: the file cannot be read, or is no sweep; in one line with its
      name and the key.

  Example:
    tool: glue
    flags: {encoder: bert_base_uncased, data_dir: glue_data, holdout: 0.1}
    tasks: [mrpc, rte]
    seeds: [0, 1, 2]
    methods:
      adapters_8-64:
        tuning: adapters
        adapter_size: [8, 64]
        learning_rate: [3e-4, 3e-3]
      full:
        draws: 20
        tuning: full
        learning_rate: {log_uniform: [1e-5, 1e-3]}
  """
  reader = _Reader(str(path))
  parts = reader.mapping(load_plain(path), "")
  for key in parts:
    if key not in _PARTS:
      raise reader.error(key, f"is none of {', '.join(_PARTS)}")
  reader.tool = reader.text(parts.get("tool", "glue"), "tool")
  if reader.tool not in TOOLS:
    raise reader.error("tool", f"is none of {', '.join(TOOLS)}: train is for "
                       "data of your own, glue for the paper's tasks")
  overrides = dict(overrides or {})
  for name in overrides:
    reader.flag(name, f"--{name}")
  seeds = reader.seeds(parts.get("seeds"), "seeds")
  selection_seeds = reader.selection_seeds(
      parts.get("selection_seeds"), seeds)
  of_all = {**reader.flags(parts.get("flags", {}), "flags"), **overrides}
  of_tasks = reader.tasks(
      parts.get("tasks", _only_task(reader.tool, of_all)), tasks,
      selection_seeds)
  spec = Spec(
      str(path), reader.tool, of_all,
      {name: task.flags for name, task in of_tasks.items()},
      seeds, selection_seeds, reader.methods(parts.get("methods"), methods),
      {name: task.seeds for name, task in of_tasks.items() if task.seeds},
      {name: task.values for name, task in of_tasks.items() if task.values},
      overrides)
  for task, of_task in spec.tasks.items():
    for method, of_method in spec.methods.items():
      for name in sorted(of_task.keys() & of_method.values.keys()):
        raise reader.error(
            f"methods.{method}.{name}", f"is set by tasks.{task}, too")

  def kept(values: Mapping[str, V]) -> dict[str, V]:
    return {name: value for name, value in values.items()
            if name not in overrides}

  return dataclasses.replace(
      spec,
      tasks={name: kept(values) for name, values in spec.tasks.items()},
      task_values={name: kept(values)
                   for name, values in spec.task_values.items()},
      methods={name: dataclasses.replace(method, values=kept(method.values))
               for name, method in spec.methods.items()})


def _only_task(tool: str, of_all: Mapping[str, str]) -> list[str] | None:
  """Returns the task of a sweep that names none, if it can have one alone.

  It is called as the data is, with _ for what cannot be part of a name.
  """
  if tool == "squad":
    return ["squad"]
  if tool == "train" and "data" in of_all:
    path = pathlib.Path(of_all["data"]).absolute()
    name = path.name if path.is_dir() else path.stem
    return [re.sub(r"[^\w+.-]|^[.-]", "_", name, flags=re.ASCII)[:100]]
  return None


@dataclasses.dataclass(frozen=True)
class _Task:
  """A task as it is written.

  Attributes:
    flags: flag -> text, its own.
    seeds: its own; empty for those of all.
    values: flag -> texts that are tried beside its own.
  """

  flags: dict[str, str]
  seeds: tuple[int, ...]
  values: dict[str, tuple[str, ...]]


class _Reader:
  """Takes the parts of a sweep from mappings, lists and texts."""

  def __init__(self, source: str):
    self._source = source
    self.tool = "glue"

  def error(self, key: str, problem: str) -> InputError:
    return InputError(f"{self._source}: {key}{': ' if key else ''}{problem}")

  def mapping(self, value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
      raise self.error(key, "expected keys with values")
    return value

  def text(self, value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
      raise self.error(key, "expected a single value")
    if not value.isprintable():
      raise self.error(key, "expected a value of one line")
    return value

  def texts(self, value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
      raise self.error(key, "expected a list of values")
    texts = tuple(self.text(part, key) for part in value)
    (text, count), = collections.Counter(texts).most_common(1)
    if count > 1:
      raise self.error(key, f"{text} stands there twice")
    return texts

  def number(self, value: Any, key: str, least: int = 0,
             most: int = 2**31 - 1) -> int:
    text = self.text(value, key)
    if not (text.isascii() and text.isdecimal() and len(text) < 20
            and least <= int(text) <= most):
      raise self.error(
          key, f"expected a whole number from {least} to {most}, not {text}")
    return int(text)

  def name(self, name: str, key: str) -> str:
    """Checks a name that becomes part of paths."""
    if not re.fullmatch(r"[\w+][\w.+-]{0,99}", name, re.ASCII):
      raise self.error(key, "a name may have letters, digits, _, +, - and .")
    return name

  def flag(self, name: str, key: str) -> dataclasses.Field[Any]:
    fields = {field.name: field for field in dataclasses.fields(
        TOOLS[self.tool])}
    if name not in fields:
      near = similar(name, fields)
      hint = f"; did you mean {near}?" if near else ""
      raise self.error(key, f"is no flag of tf-adapters {self.tool}{hint}")
    # A task may be called otherwise than the --task_name that it is.
    if name in _NOT_HERE and (name != "task_name"
                              or not key.startswith("tasks.")):
      raise self.error(key, f"cannot be set: {_NOT_HERE[name]}")
    if name == "best_metric" and key.startswith("methods."):
      raise self.error(key, "selects among all settings of a task: set it "
                       "under flags or in tasks")
    if name in _OF_ROWS and key.startswith("methods."):
      raise self.error(key, "makes scores of other rows, which do not compare: "
                       "set it under flags or in tasks")
    return fields[name]

  def flags(self, value: Any, key: str) -> dict[str, str]:
    values = self.mapping(value, key)
    for name in values:
      self.flag(name, f"{key}.{name}")
    return {name: self.text(value, f"{key}.{name}")
            for name, value in values.items()}

  def tasks(self, value: Any, wanted: Sequence[str] | None,
            selection_seeds: Sequence[int]) -> dict[str, "_Task"]:
    if isinstance(value, list):
      value = {name: {} for name in self.texts(value, "tasks")}
    if not isinstance(value, dict) or not value:
      raise self.error("tasks", "expected a list of tasks, or tasks with flags"
                       + ("; or, for a single one, data under flags"
                          if self.tool == "train" else ""))
    tasks = {self.name(name, f"tasks.{name}"):
             self._task(values or {}, f"tasks.{name}", selection_seeds)
             for name, values in value.items()}
    return self._wanted(tasks, wanted, "tasks")

  def _task(self, value: Any, key: str,
            selection_seeds: Sequence[int]) -> "_Task":
    given = dict(self.mapping(value, key))
    seeds: tuple[int, ...] = ()
    if "seeds" in given:
      seeds = self.seeds(given.pop("seeds"), f"{key}.seeds")
      for seed in selection_seeds:
        if seed not in seeds:
          raise self.error(f"{key}.seeds", f"lacks {seed}, which selects")
    values = {}
    for name, texts in given.items():
      where = f"{key}.{name}"
      if isinstance(texts, list):
        self.flag(name, where)
        if name in ACTIONS or name in _OF_TASKS:
          raise self.error(where, "is the same for all settings of a task: "
                           "expected a single value")
        given[name], *others = self.texts(texts, where)
        values[name] = tuple(others)
    return _Task(self.flags(given, key), seeds,
                 {name: others for name, others in values.items() if others})

  def seeds(self, value: Any, key: str) -> tuple[int, ...]:
    if value is None:
      raise self.error(key, "is missing: give a list, such as seeds: [0]")
    if isinstance(value, str):
      return tuple(range(self.number(value, key, 1, MOST_TRIALS)))
    return self._listed_seeds(value, key)

  def _listed_seeds(self, value: Any, key: str) -> tuple[int, ...]:
    seeds = tuple(self.number(text, key) for text in self.texts(value, key))
    return tuple(dict.fromkeys(seeds))

  def selection_seeds(self, value: Any,
                      seeds: tuple[int, ...]) -> tuple[int, ...]:
    key = "selection_seeds"
    if value is None:
      return seeds
    selecting = self._listed_seeds(value, key)
    for seed in selecting:
      if seed not in seeds:
        raise self.error(key, f"{seed} is none of the seeds")
    return selecting

  def methods(self, value: Any,
              wanted: Sequence[str] | None) -> dict[str, Method]:
    if value is None:
      raise self.error("methods", "is missing: give one at least, such as "
                       "methods: {adapters: {tuning: adapters}}")
    methods = self.mapping(value, "methods")
    if not methods:
      raise self.error("methods", "expected a method at least")
    return self._wanted(
        {self.name(name, f"methods.{name}"):
         self._method(values or {}, f"methods.{name}")
         for name, values in methods.items()}, wanted, "methods")

  def _wanted(self, values: dict[str, Any], wanted: Sequence[str] | None,
              key: str) -> dict[str, Any]:
    """Returns those that are asked for."""
    for name in wanted or ():
      if name not in values:
        raise self.error(key, f"has no {name}; there is {', '.join(values)}")
    return {name: value for name, value in values.items()
            if wanted is None or name in wanted}

  def _method(self, value: Any, key: str) -> Method:
    given = dict(self.mapping(value, key))
    draws = given.pop("draws", None)
    draw_seed = given.pop("draw_seed", None)
    if draws is None and draw_seed is not None:
      raise self.error(f"{key}.draw_seed", "has no effect without draws")
    values: dict[str, tuple[str, ...] | Range] = {}
    for name, value in given.items():
      where = f"{key}.{name}"
      field = self.flag(name, where)
      if name in ACTIONS and not isinstance(value, str):
        raise self.error(where, "makes no other run: expected a single value")
      match value:
        case dict() if draws is None:
          raise self.error(where, "a range needs draws beside it")
        case dict():
          values[name] = self._range(value, where, field)
        case list():
          values[name] = self.texts(value, where)
        case _:
          values[name] = (self.text(value, where),)
    if draws is None:
      return Method(values)
    return Method(
        values, self.number(draws, f"{key}.draws", 1, MOST_TRIALS),
        self.number("0" if draw_seed is None else draw_seed,
                    f"{key}.draw_seed"))

  def _range(self, value: dict[str, Any], key: str,
             field: dataclasses.Field[Any]) -> Range:
    kinds = set(_kinds(field.type))
    if not kinds & {int, float}:
      raise self.error(key, "is no number: expected a list to draw from")
    bounds = next(iter(value.values()), None)
    if (len(value) != 1 or next(iter(value)) not in _DISTRIBUTIONS
        or not isinstance(bounds, list) or len(bounds) != 2):
      raise self.error(
          key, f"expected {' or '.join(_DISTRIBUTIONS)} with two bounds")
    log = next(iter(value)) == "log_uniform"
    try:
      low, high = (float(self.text(bound, key)) for bound in bounds)
    except ValueError:
      raise self.error(key, "expected numbers as bounds") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high
            and (low > 0 or not log)):
      raise self.error(key, "expected a lower and a higher bound"
                       + (", both above 0" if log else ""))
    if float not in kinds:
      if not (low.is_integer() and high.is_integer()):
        raise self.error(key, "expected whole numbers as bounds")
      low, high = int(low), int(high)
    return Range(low, high, log)


def _kinds(annotation: Any) -> Iterable[type]:
  """Returns the types of a field such as `int | None`; bool is no number here.
  """
  return typing.get_args(annotation) or (annotation,)
