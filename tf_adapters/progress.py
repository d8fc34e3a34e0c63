"""Progress of long work: a bar in a terminal, elsewhere a line now and then."""

import io
import sys
import warnings
from typing import TextIO

import tqdm

# Between lines where there is no terminal, such as in the log file of a job.
SECONDS_BETWEEN_LINES = 120
_SECONDS_TO_FIRST_BAR = 2  # what is over sooner needs none


def progress_bar(what: str, total: int | None, unit: str = "rows",
                 scaled: bool = False, leave: bool = True) -> tqdm.tqdm:
  """A bar to update, and to close, on standard error.

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
    return notebook_bar(desc=what, total=total, unit=unit, unit_scale=scaled,
                        leave=leave, delay=_SECONDS_TO_FIRST_BAR)
  if sys.stderr.isatty():
    return tqdm.tqdm(desc=what, total=total, unit=unit, unit_scale=scaled,
                     leave=leave, delay=_SECONDS_TO_FIRST_BAR, file=sys.stderr)
  return tqdm.tqdm(
      desc=what, total=total, unit=unit, unit_scale=scaled, leave=False,
      delay=SECONDS_BETWEEN_LINES, mininterval=SECONDS_BETWEEN_LINES,
      maxinterval=SECONDS_BETWEEN_LINES, miniters=1, file=_Lines(sys.stderr),
      bar_format=_line_format(total, unit))


def _in_notebook() -> bool:
  """Whether a kernel of Jupyter's runs this."""
  get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
  shell = get_ipython and get_ipython()
  return "IPKernelApp" in getattr(shell, "config", {})


def duration(seconds: float) -> str:
  """A time for the eye.

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
