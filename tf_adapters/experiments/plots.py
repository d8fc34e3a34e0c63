"""Draws a report's figures, as a paper has them."""

import math
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from tf_adapters.experiments.curves import FULL, Difference, Panel, Point
from tf_adapters.experiments.distance import Distance
from tf_adapters.experiments.method_tables import Comparison
from tf_adapters.experiments.pictures import (
    COLUMN,
    TWO_COLUMNS,
    metric_label,
    styled,
)

_TICK_ROOM = 0.36  # inches that the label of a value takes
_BESIDE_AXIS = 0.6  # inches of a panel's width

PARAMETERS_LABEL = "trained parameters per task"

# Curve -> Okabe and Ito's colour, marker and line: grey print tells them apart.
_STYLES = {
    "adapters": ("#0072B2", "o", "-"),
    "pfeiffer adapters": ("#0072B2", "<", "--"),
    "parallel adapters": ("#0072B2", ">", ":"),
    "LoRA": ("#56B4E9", "X", "-"),
    "DoRA": ("#56B4E9", "d", "--"),
    "IA3": ("#F0E442", "p", "-"),
    "prefixes": ("#999999", "*", "-"),
    "Compacter": ("#009E73", "h", "--"),
    "top layers": ("#D55E00", "s", "--"),
    "layer norms": ("#009E73", "^", ":"),
    "biases": ("#CC79A7", "v", ":"),
    "head alone": ("#E69F00", "P", ":"),
    FULL: ("#000000", "D", "-."),
}
_OTHERS = ("#999999", ".", "-")  # methods of your own
# Of tasks beside each other.
_TASK_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"),
                ("#CC79A7", "v"), ("#E69F00", "P"), ("#56B4E9", "X"),
                ("#999999", "*"), ("#F0E442", "p"))

def draw_panels(panels: Sequence[Panel], titles: Mapping[str, str],
                x_label: str, of_parameters: bool) -> Figure:
  """Draws a panel for each task: scores with their standard errors.

  Args:
    panels: what is drawn.
    titles: task -> what to call it, if not so.
    x_label: of the axis that all have.
    of_parameters: whether that counts parameters; otherwise it has the values
      that were tried.
  """
  with styled():
    figure, axes = _grid(len(panels))
    metrics = {metric_label(panel.metric) for panel in panels}
    for panel, ax in zip(panels, axes):
      for curve, points in panel.curves.items():
        _draw_curve(ax, curve, points, level=of_parameters)
      ax.set_title(titles.get(panel.task, panel.task))
      if len(metrics) > 1:
        ax.set_ylabel(f"{metric_label(panel.metric)}, %")
      xs = [point.x for points in panel.curves.values() for point in points]
      _log_axis(ax)
      if of_parameters:
        _parameter_ticks(ax, xs)
      else:
        _value_ticks(ax, xs, figure.get_size_inches()[0]
                     / _columns(len(panels)) - _BESIDE_AXIS)
    figure.supxlabel(x_label)
    if len(metrics) == 1:
      figure.supylabel(f"{metrics.pop()}, %")
    _legend(figure, axes)
    return figure


def draw_differences(
    families: Mapping[str, Mapping[str, Sequence[Difference]]]) -> Figure:
  """Draws a panel for each family of tasks: median, 20th and 80th percentile.
  """
  with styled():
    figure, axes = _grid(len(families))
    for (family, curves), ax in zip(families.items(), axes):
      if ax is not axes[0]:
        ax.sharey(axes[0])
      ax.axhline(0, color=_STYLES[FULL][0], linewidth=0.8,
                 linestyle=_STYLES[FULL][2], label=FULL)
      for curve, points in curves.items():
        color, marker, line = _STYLES.get(curve, _OTHERS)
        xs = [point.x for point in points]
        low, middle, high = zip(*(point.percentiles for point in points))
        if len(points) > 1:
          ax.fill_between(xs, low, high, color=color, alpha=0.15, linewidth=0)
          ax.plot(xs, middle, color=color, marker=marker, linestyle=line,
                  label=curve)
        else:
          ax.errorbar(
              xs, middle, [[middle[0] - low[0]], [high[0] - middle[0]]],
              color=color, marker=marker, linestyle="none", capsize=2,
              elinewidth=0.8, label=curve)
      if len(families) > 1:
        ax.set_title(family)
      xs = [point.x for points in curves.values() for point in points]
      _log_axis(ax)
      _parameter_ticks(ax, xs)
    figure.supxlabel(PARAMETERS_LABEL)
    figure.supylabel("score less full fine-tuning, % points")
    _legend(figure, axes)
    return figure


def draw_distances(compared: Comparison,
                   papers: Mapping[str, Distance]) -> Figure:
  """Draws a row for each method: its distance on each task, and the mean.

  Args:
    compared: the methods.
    papers: label -> mean distance, of the paper.
  """
  rows = [row for row in compared.rows if row.distances]
  tasks = [task for task in compared.titles
           if any(task in row.distances for row in rows)]
  height = 0.55 + 0.34 * len(rows) + 0.22 * len(papers)
  with styled():
    figure = Figure((TWO_COLUMNS, height), layout="constrained")
    ax = figure.add_subplot()
    ax.axvline(0, color=_STYLES[FULL][0], linewidth=0.8,
               linestyle=_STYLES[FULL][2])
    labels = [row.method for row in rows]
    for place, row in enumerate(rows):
      if place % 2 == 0:
        ax.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", zorder=0)
      for number, task in enumerate(tasks):
        one = row.distances.get(task)
        if one is not None:
          # Above the mean, one under the other.
          _draw_distance(ax, one, place - 0.36 + 0.5 * number / len(tasks),
                         *_TASK_STYLES[number % len(_TASK_STYLES)],
                         label=compared.titles[task])
      mean = row.mean_distance(compared.common)
      if mean is not None:
        _draw_distance(ax, mean, place + 0.26, "#000000", "D", label="mean")
    for label, one in papers.items():
      _draw_distance(ax, one, len(labels), "#000000", "D", "none")
      labels.append(label)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.6)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))
    ax.set_xlabel("score less full fine-tuning, % points")
    handles = {label: handle for handle, label in zip(
        *ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc="outside upper center",
                  ncols=8, columnspacing=1.2)
    return figure


def _draw_distance(ax: Axes, one: Distance, place: float, color: str,
                   marker: str, fill: str | None = None,
                   label: str | None = None) -> None:
  """Draws a point with its standard error, beside what it is of."""
  ax.errorbar(
      one.mean, place, xerr=one.sem, color=color, marker=marker,
      markerfacecolor=fill or color, linestyle="none", capsize=1.5,
      elinewidth=0.8, label=label)


def _columns(count: int) -> int:
  if count <= 3:
    return count
  return {4: 2}.get(count, 3 if count <= 9 else 4)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
  """Makes a figure of so many panels, in a paper's width."""
  columns = _columns(count)
  rows = math.ceil(count / columns)
  width = COLUMN if columns == 1 else TWO_COLUMNS
  height = {1: 2.2, 2: 2.1, 3: 1.75, 4: 1.45}[columns]
  figure = Figure((width, 0.35 + rows * height), layout="constrained")
  axes = [figure.add_subplot(rows, columns, place + 1)
          for place in range(count)]
  return figure, axes


def _draw_curve(ax: Axes, curve: str, points: Sequence[Point],
                level: bool) -> None:
  """Draws points with their standard errors; a line where there are several.

  Args:
    ax: where.
    curve: its name.
    points: from left to right.
    level: whether full fine-tuning is a level to compare others with.
  """
  color, marker, line = _STYLES.get(curve, _OTHERS)
  means = [100 * point.score.mean for point in points]
  errors = None  # one seed says nothing of them
  if any(point.score.sem is not None for point in points):
    errors = [100 * (point.score.sem or 0) for point in points]
  if curve == FULL and level:
    ax.axhline(means[0], color=color, linewidth=0.6, linestyle=line, zorder=1)
  ax.errorbar(
      [point.x for point in points], means, errors, color=color, marker=marker,
      linestyle=line if len(points) > 1 else "none", capsize=1.5,
      elinewidth=0.8, label=curve)


def _log_axis(ax: Axes) -> None:
  """Makes a logarithmic x axis, and a y axis of round numbers."""
  ax.set_xscale("log")
  ax.xaxis.set_minor_locator(NullLocator())
  ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
  ax.margins(x=0.08, y=0.12)


def _parameter_ticks(ax: Axes, values: Sequence[float]) -> None:
  """Marks 100k, 1M, 10M; more where values are close to each other."""
  decades = math.log10(max(values) / min(values))
  ax.xaxis.set_major_locator(
      LogLocator(subs=(1,) if decades > 1.2 else (1, 2, 5)))
  ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def _value_ticks(ax: Axes, values: Iterable[float], width: float) -> None:
  """Marks the values themselves, those that have room for a label.

  Args:
    ax: whose axis it is.
    values: all of them.
    width: of the axis, in inches.
  """
  values = sorted(set(values))
  room = math.log(values[-1] / values[0]) * _TICK_ROOM / width
  kept = values[:1]
  for value in values[1:]:
    if math.log(value / kept[-1]) >= room:
      kept.append(value)
  ax.xaxis.set_major_locator(FixedLocator(kept))
  ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
  """Writes a number in few digits.

  Example:
    >>> _short(3e-05)
    '3e-5'
  """
  mantissa, _, exponent = f"{value:.2e}".partition("e")
  mantissa = mantissa.rstrip("0").rstrip(".")
  return mantissa if int(exponent) == 0 else f"{mantissa}e{int(exponent)}"


def _legend(figure: Figure, axes: Iterable[Axes]) -> None:
  """Puts one legend above all panels, a name for each of several curves."""
  handles = {label: handle for ax in axes
             for handle, label in zip(*ax.get_legend_handles_labels())}
  names = [name for name in dict.fromkeys([*_STYLES, *handles])
           if name in handles]
  if len(names) < 2:
    return
  wide = figure.get_size_inches()[0] > COLUMN
  figure.legend([handles[name] for name in names], names,
                loc="outside upper center",
                ncols=6 if wide else 2 if len(names) == 4 else 3,
                columnspacing=1.2)
