"""Draws what stretches of layers are worth, as figure 6 of the paper does."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from tf_adapters.experiments.pictures import COLUMN, TWO_COLUMNS, styled

_MOST_IN_COLUMN = 16  # layers whose numbers can be read in one column


def draw_heat_map(layers: Sequence[int],
                  changes: Mapping[tuple[int, int], float],
                  title: str) -> Figure:
  """Draws the change for each stretch of layers: the first against the last.

  Args:
    layers: numbers of the layers that have adapters, in order.
    changes: (first, last) -> what leaving out the adapters from one to the
      other changes, in per cent.
    title: of the figure.
  """
  values = np.array([[changes.get((first, last), np.nan) for last in layers]
                     for first in layers])
  with styled():
    width = COLUMN if len(layers) <= _MOST_IN_COLUMN else TWO_COLUMNS
    figure = Figure(figsize=(width, width), layout="constrained")
    ax = figure.add_subplot()
    # Cividis: told apart by colour-blind eyes, and in grey.
    image = ax.imshow(values, cmap="cividis", vmin=min(np.nanmin(values), -1),
                      vmax=max(np.nanmax(values), 0))
    _write_values(ax, image, values, width)
    for axis, what in ((ax.xaxis, "last"), (ax.yaxis, "first")):
      axis.set_ticks(range(len(layers)), list(map(str, layers)))
      axis.set_ticks(np.arange(1, len(layers)) - 0.5, minor=True)
      axis.set_label_text(f"{what} layer without adapters")
    ax.tick_params(which="both", length=0)
    ax.grid(visible=False)
    ax.grid(which="minor", color="white", linewidth=0.6)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    if len(layers) > 2:  # there is room below the diagonal
      _add_scale(ax, image)
    # Laid out once: it would be anew, and a little otherwise, in each format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def _write_values(ax: Axes, image: AxesImage, values: np.ndarray,
                  width: float) -> None:
  """Writes each value into its cell, as large as it has room."""
  points = 72 * 0.85 * width / len(values)  # of a cell, beside the axes
  for row, column in np.argwhere(np.isfinite(values)):
    value = values[row, column]
    red, green, blue, _ = image.cmap(image.norm(value))
    is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    ax.text(column, row, _text(value), ha="center", va="center",
            fontsize=min(7, points / 2.9),
            color="white" if is_dark else "black")


def _text(value: float) -> str:
  text = f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"
  if not float(text):
    return "0.0"
  return text.replace("-", "\N{MINUS SIGN}")


def _add_scale(ax: Axes, image: AxesImage) -> None:
  scale = ax.inset_axes((0.03, 0.1, 0.36, 0.035))
  bar = ax.figure.colorbar(image, cax=scale, orientation="horizontal")
  bar.outline.set_visible(False)
  bar.locator = MaxNLocator(3)
  bar.update_ticks()
  scale.set_title("relative change, %", loc="left", fontsize=7, pad=3)
  scale.tick_params(length=2, width=0.5, pad=1.5)
