"""The numbers of a report's figures: scores against what a sweep varies.

Every point is a choice of `selection.select` among the settings that share what
the point stands for, by validation alone; its score is that of the reported
split. How points are drawn is `plots`' business.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tf_adapters.experiments.records import Record, write_csv
from tf_adapters.experiments.selection import Selected, Statistics, select
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import METHODS, method_from_dict
from tf_adapters.modeling.tuning import Tuning

ADAPTERS, TOP_LAYERS = "adapters", "top layers"
FULL = "full fine-tuning"
# Tuning -> the curve that it is a point of; methods have one each.
_CURVES = {"top_layers": TOP_LAYERS, "full": FULL, "layer_norm": "layer norms",
           "bias": "biases", "head": "head alone"}

PERCENTILES = (20, 50, 80)

# A curve and the name of the point on it that a finished trial counts for, or
# None; and where on the x axis that is.
Place = tuple[str, str, float]
Placing = Callable[[Record], Place | None]


@dataclasses.dataclass(frozen=True)
class Point:
  """A point of a curve.

  Attributes:
    name: what it stands for: an adapter size, a number of layers.
    x: the place on the axis.
    chosen: the best of the settings that share it.
  """

  name: str
  x: float
  chosen: Selected

  @property
  def score(self) -> Statistics:
    return self.chosen.score


@dataclasses.dataclass(frozen=True)
class Panel:
  """The curves of a task.

  Attributes:
    task: of the sweep.
    metric: of the scores.
    curves: name -> points, from left to right.
  """

  task: str
  metric: str
  curves: dict[str, tuple[Point, ...]]


@dataclasses.dataclass(frozen=True)
class Difference:
  """The difference of a point to full fine-tuning, over tasks.

  Attributes:
    name: of the point.
    x: the mean over tasks of its place on the axis.
    percentiles: of the differences, in per cent: `PERCENTILES`.
    tasks: that they are of.
  """

  name: str
  x: float
  percentiles: tuple[float, ...]
  tasks: tuple[str, ...]


def parameters(record: Record) -> Place | None:
  """Places methods by size, top layers by number, over trained parameters."""
  curve, name = _curve(record), ""
  if curve is None:
    return None
  method = _method(record)
  if method is not None:
    name = method.point
  elif curve == TOP_LAYERS:
    name = str(Tuning.parse(record.finished["tuning"]).top_layers)
  return curve, name, record.finished["parameters"]["trained"]


def learning_rate(record: Record) -> Place | None:
  """Places methods and full fine-tuning over the learning rate."""
  curve = _curve(record)
  if curve is None or (curve != FULL and _method(record) is None):
    return None
  rate = record.finished["hyperparameters"]["learning_rate"]
  return curve, f"{rate:g}", rate


def init_scale(record: Record) -> Place | None:
  """Places adapters over the standard deviation of their initial weights."""
  if _curve(record) != ADAPTERS:
    return None
  scale = record.finished["hyperparameters"]["adapter"].get("init_scale")
  if not scale:
    return None  # no place on a logarithmic axis
  return ADAPTERS, f"{scale:g}", scale


def panels(records: Iterable[Record], placing: Placing) -> list[Panel]:
  """Returns the curves of each task that has a point.

  Args:
    records: of one encoder.
    placing: one of the functions above.
  """
  # What has not finished yet belongs where the other seeds of its setting are.
  records = list(records)
  finished = {(record.trial.task, record.trial.setting): record
              for record in records if record.results is not None}
  competing = []
  for record in records:
    like = finished.get((record.trial.task, record.trial.setting))
    place = like and placing(like)
    if place:
      competing.append(dataclasses.replace(record, trial=dataclasses.replace(
          record.trial, methods=(f"{place[0]} {place[1]}",))))
  found: dict[str, dict[str, list[Point]]] = {}
  for chosen in select(competing):
    place = placing(chosen.records[0]) if chosen.records else None
    if place is None:
      continue
    curve, name, x = place
    found.setdefault(chosen.task, {}).setdefault(curve, []).append(
        Point(name, x, chosen))
  return [
      Panel(task, next(iter(curves.values()))[0].chosen.metric,
            {curve: tuple(sorted(points, key=lambda point: point.x))
             for curve, points in sorted(curves.items(), key=_in_legend)})
      for task, curves in found.items()]


def varied(of_tasks: Iterable[Panel]) -> list[Panel]:
  """Returns the panels and curves with two points at least."""
  kept = [dataclasses.replace(panel, curves={
      name: points for name, points in panel.curves.items()
      if len(points) > 1}) for panel in of_tasks]
  return [panel for panel in kept if panel.curves]


def differences(of_tasks: Sequence[Panel]) -> dict[str, list[Difference]]:
  """Returns each curve's points less full fine-tuning on the same task.

  The points of a curve are all of the same tasks, those that have each of them,
  two at least.

  Args:
    of_tasks: what `panels` makes of `parameters`.

  Returns:
    Curve -> points; no curve without two common tasks.
  """
  curves: dict[str, dict[str, dict[str, Point]]] = {}
  full = {}
  for panel in of_tasks:
    for curve, points in panel.curves.items():
      if curve == FULL:
        full[panel.task] = points[0].score.mean
      for point in points:
        curves.setdefault(curve, {}).setdefault(
            point.name, {})[panel.task] = point
  result = {}
  for curve, by_name in curves.items():
    tasks = [task for task in full
             if all(task in points for points in by_name.values())]
    if len(tasks) > 1 and curve != FULL:
      result[curve] = sorted((
          _difference(name, [points[task] for task in tasks], full)
          for name, points in by_name.items()), key=lambda point: point.x)
  return result


def panels_csv(of_tasks: Iterable[Panel], x: str) -> str:
  """Writes a line for each point, scores in per cent.

  Args:
    of_tasks: the panels.
    x: what to call the axis.
  """
  names = ["task", "curve", "point", x, "metric", "split", "score", "sem",
           "seeds", "setting"]
  return write_csv(names, (dict(zip(names, (
      panel.task, curve, point.name, point.x, panel.metric,
      point.chosen.reported, 100 * point.score.mean,
      None if point.score.sem is None else 100 * point.score.sem,
      point.score.n, point.chosen.records[0].trial.setting)))
      for panel in of_tasks for curve, points in panel.curves.items()
      for point in points))


def differences_csv(
    families: dict[str, dict[str, list[Difference]]]) -> str:
  """Writes a line for each point of each family of tasks."""
  percentiles = [f"percentile_{percent}" for percent in PERCENTILES]
  names = ["panel", "curve", "point", "trained_parameters", *percentiles,
           "tasks"]
  return write_csv(names, (dict(zip(names, (
      family, curve, point.name, point.x, *point.percentiles,
      " ".join(point.tasks))))
      for family, curves in families.items()
      for curve, points in curves.items() for point in points))


def _in_legend(curve: tuple[str, Sequence[Point]]) -> tuple[int, str]:
  """Returns where a curve stands in legends: methods first, then other tunings.
  """
  name, points = curve
  method = _method(points[0].chosen.records[0])
  if method is None:
    return len(METHODS) + list(_CURVES.values()).index(name), name
  return list(METHODS).index(method.name), name


def _curve(record: Record) -> str | None:
  method = _method(record)
  if method is not None:
    return method.curve
  return _CURVES.get(Tuning.parse(record.finished["tuning"]).method)


def _method(record: Record) -> Method | None:
  """Returns the method that a trial trained."""
  if Tuning.parse(record.finished["tuning"]).method != "adapters":
    return None
  return method_from_dict(record.finished["hyperparameters"]["adapter"])


def _difference(name: str, points: Sequence[Point],
                full: dict[str, float]) -> Difference:
  losses = [100 * (point.score.mean - full[point.chosen.task])
            for point in points]
  return Difference(
      name, float(np.mean([point.x for point in points])),
      tuple(map(float, np.percentile(losses, PERCENTILES))),
      tuple(point.chosen.task for point in points))
