"""Progress of long work: a bar in a terminal, elsewhere a line now and then."""

import collections
import functools
import io
import sys
import time
import warnings
from typing import Any, TextIO

import tqdm

from tf_adapters.errors import is_terminal

# Between lines where there is no terminal, such as in the log file of a job.
SECONDS_BETWEEN_LINES = 120
_SECONDS_TO_FIRST_BAR = 2  # what is over sooner needs none

# Of `Pace`: pieces that it goes by, how many times as long as the quicker ones
# a piece may take that counts, and the shortest time that is a piece of a bar.
_MOST_PIECES = 1000
_UNUSUAL = 4
_SECONDS_OF_A_PIECE = 1


class Pace:
  """An estimate of the time that work still takes, by the work that is done.

  The first piece, and others that take far longer than usual, say nothing of
  those to come: they compile something. The mean of the others hardly jumps.

  Example:
    >>> pace = Pace()
    >>> for seconds in (30, 1, 1, 20, 1):
    ...   pace.add(1, seconds)
    >>> pace.seconds(60)
    60.0
  """

  def __init__(self) -> None:
    self._pieces: collections.deque[tuple[float, float]] = collections.deque(
        maxlen=_MOST_PIECES)
    self._count = 0

  def add(self, units: float, seconds: float) -> None:
    """Takes a piece of work.

    Args:
      units: that were done, more than 0.
      seconds: that it took.
    """
    self._count += 1
    if self._count == 2:
      self._pieces.clear()
    self._pieces.append((units, seconds))

  def seconds(self, units: float) -> float | None:
    """Estimates the time of so many units; None where nothing is done yet."""
    if not self._pieces:
      return None
    # In the first of a few epochs most steps may compile.
    paces = sorted(seconds / units for units, seconds in self._pieces)
    most = _UNUSUAL * paces[len(paces) // 4]
    pieces = [(units, seconds) for units, seconds in self._pieces
              if seconds <= most * units]
    done, took = map(sum, zip(*pieces))
    return float(units * took / done)


def progress_bar(what: str, total: int | None, unit: str = "rows",
                 scaled: bool = False, leave: bool = True) -> tqdm.tqdm:
  """Makes a bar to update, and to close, on standard error.

  In a notebook it is a widget, where there are such. Without a terminal it
  writes no bar but a line every few minutes, and nothing of work that is over
  by then.

  Args:
    what: is done.
    total: how many units it is of; None where that is not known.
    unit: what is counted.
    scaled: whether numbers are written in thousands, millions, ...
    leave: whether the bar stays in the terminal when it is full.

  Example:
    >>> with progress_bar("tokenising", len(texts)) as bar:
    ...   for chunk in chunks(texts):
    ...     bar.update(len(chunk))
  """
  if _in_notebook():
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # that there are no widgets
      from tqdm.auto import tqdm as notebook_bar
    return _steady(notebook_bar)(
        desc=what, total=total, unit=unit, unit_scale=scaled, leave=leave,
        delay=_SECONDS_TO_FIRST_BAR)
  if is_terminal(sys.stderr):
    return _steady(tqdm.tqdm)(
        desc=what, total=total, unit=unit, unit_scale=scaled, leave=leave,
        delay=_SECONDS_TO_FIRST_BAR, file=sys.stderr)
  return _steady(tqdm.tqdm)(
      desc=what, total=total, unit=unit, unit_scale=scaled, leave=False,
      delay=SECONDS_BETWEEN_LINES, mininterval=SECONDS_BETWEEN_LINES,
      maxinterval=SECONDS_BETWEEN_LINES, miniters=1, file=_Lines(sys.stderr),
      bar_format=_line_format(total, unit))


@functools.cache
def _steady(bar: Any) -> Any:
  """Makes the class of bars whose time left is a `Pace`'s, of tqdm's."""

  def begin(self: Any, **arguments: Any) -> None:
    self.pace, self.since, self.units = Pace(), time.monotonic(), 0
    bar.__init__(self, **arguments)

  def update(self: Any, n: float = 1) -> Any:
    now = time.monotonic()
    self.units += n
    # Rows may be read in no time, and computed later.
    if self.units and now - self.since >= _SECONDS_OF_A_PIECE:
      self.pace.add(self.units, now - self.since)
      self.since, self.units = now, 0
    return bar.update(self, n)

  def format_dict(self: Any) -> dict[str, Any]:
    seconds = self.pace.seconds(1)
    return {**bar.format_dict.fget(self),
            "rate": 1 / seconds if seconds else None}

  return type("Bar", (bar,), {
      "__init__": begin, "update": update,
      "format_dict": property(format_dict)})


def _in_notebook() -> bool:
  """Returns whether a kernel of Jupyter's runs this."""
  get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
  shell = get_ipython and get_ipython()
  return "IPKernelApp" in getattr(shell, "config", {})


def duration(seconds: float) -> str:
  """Writes a time for the eye.

  Example:
    >>> duration(3900), duration(130), duration(7.21)
    ('1 h 5 min', '2 min', '7 s')
  """
  minutes = round(seconds / 60)
  if seconds < 100:
    return f"{seconds:.0f} s"
  if minutes < 100:
    return f"{minutes} min"
  return f"{minutes // 60} h {minutes % 60} min"


def _line_format(total: int | None, unit: str) -> str:
  if total is None:
    return "{desc}: {n_fmt} " + unit + ", {elapsed} so far"
  return ("{desc}: {n_fmt} of {total_fmt} " + unit
          + ", {elapsed} so far, {remaining} left")


class _Lines(io.TextIOBase):
  """Makes a line of what would be written over what stood there before."""

  def __init__(self, file: TextIO):
    super().__init__()
    self._file = file

  def write(self, text: str) -> int:
    line = text.strip("\r\n ")
    if line:
      self._file.write(f"{line}\n")
      self._file.flush()
    return len(text)
