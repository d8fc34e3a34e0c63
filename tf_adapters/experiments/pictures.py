"""Style, sizes and files that all figures share.

matplotlib's objects are used directly: no pyplot, no state, no display. The
same numbers are the same bytes, in PNG and in PDF.
"""

import contextlib
import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

COLUMN, TWO_COLUMNS = 3.25, 6.75  # inches, of a paper

_COLORS = 256  # of a PNG: a third of the bytes, and nothing that is seen

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "figure.labelsize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "pdf.fonttype": 42,  # letters stay letters
    "figure.dpi": 100,
}

# Metric -> what an axis calls it.
_METRICS = {
    "accuracy": "accuracy", "f1": "F1", "macro_f1": "macro F1",
    "micro_f1": "micro F1", "matthews_correlation": "Matthews correlation",
    "spearman": "Spearman correlation", "pearson": "Pearson correlation",
    "entity_f1": "entity F1", "token_accuracy": "token accuracy",
}


def styled() -> contextlib.AbstractContextManager[None]:
  """Returns the context that figures are drawn in."""
  return matplotlib.rc_context(_STYLE)


def metric_label(metric: str) -> str:
  """Returns the name of a metric in a sentence."""
  return _METRICS.get(metric, metric.replace("_", " "))


def png(figure: Figure) -> bytes:
  """Writes the figure as PNG, without a date."""
  content = io.BytesIO()
  with Image.open(io.BytesIO(_bytes(figure, "png", dpi=220))) as image:
    image.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE).save(
        content, "png", optimize=True)
  return content.getvalue()


def pdf(figure: Figure) -> bytes:
  """Writes the figure as PDF, without a date."""
  return _bytes(figure, "pdf", metadata={"CreationDate": None})


def _bytes(figure: Figure, kind: str, **options: Any) -> bytes:
  content = io.BytesIO()
  with styled():
    figure.savefig(content, format=kind, **options)
  return content.getvalue()
