"""Bars in terminals, lines in files."""

import io
import sys
import types

import pytest
import tqdm.auto

from tf_adapters import progress
from tf_adapters.progress import Pace, duration, progress_bar


@pytest.mark.parametrize("total", [1000, None])
def test_a_file_gets_a_line_every_few_minutes(monkeypatch, total):
  file = io.StringIO()
  monkeypatch.setattr("sys.stderr", file)
  monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
  with progress_bar("reading", total) as bar:
    bar.update(10)
    bar.update(30)
  lines = file.getvalue().splitlines()
  assert not {"\r", "\b"} & set(file.getvalue())
  assert [line.split(",")[0] for line in lines][-2:] == [
      f"reading: {count} {'of 1000 ' if total else ''}rows"
      for count in (10, 40)]


def test_what_is_over_soon_gets_no_line(monkeypatch):
  file = io.StringIO()
  monkeypatch.setattr("sys.stderr", file)
  with progress_bar("reading", 2) as bar:
    bar.update()
    bar.update()
  assert file.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch):
  file = io.StringIO()
  file.isatty = lambda: True
  monkeypatch.setattr("sys.stderr", file)
  monkeypatch.setattr(progress, "_SECONDS_TO_FIRST_BAR", 0)
  with progress_bar("reading", 2) as bar:
    bar.update(2)
  assert "\rreading" in file.getvalue()
  assert "2/2" in file.getvalue()


def test_a_notebook_gets_its_own_bar(monkeypatch, capsys):
  shell = types.SimpleNamespace(config={"IPKernelApp": {}})
  monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(
      get_ipython=lambda: shell))
  monkeypatch.setattr(progress, "_SECONDS_TO_FIRST_BAR", 0)
  with progress_bar("reading", 2) as bar:
    bar.update(2)
  assert isinstance(bar, tqdm.auto.tqdm)
  assert "reading" in "".join(capsys.readouterr())


def test_time_left_does_not_jump():
  pace = Pace()
  assert pace.seconds(10) is None
  pace.add(1, 30)  # compiles
  assert pace.seconds(10) == 300  # nothing better is known
  found = []
  for seconds in (1.0, 20, 1.2, 0.8, 20, 1.0, 0.9, 1.1):  # two more compile
    pace.add(1, seconds)
    found.append(pace.seconds(100))
  assert found[0] == 100
  assert all(90 <= seconds <= 111 for seconds in found)
  pace.add(2, 2)  # two at once
  assert pace.seconds(100) == pytest.approx(100)


def test_a_bar_s_time_left_leaves_the_first_piece_out(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  monkeypatch.setattr("sys.stderr", io.StringIO())
  with progress_bar("reading", 500) as bar:
    for seconds in (60, 2, 2):
      for _ in range(100):  # a chunk is read at once, and then computed
        bar.update()
      now[0] += seconds
    bar.update()
    assert bar.format_dict["rate"] == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize("seconds, text", [
    (0.4, "0 s"), (99, "99 s"), (130, "2 min"), (5900, "98 min"),
    (6030, "1 h 40 min"), (90_000, "25 h 0 min")])
def test_durations(seconds, text):
  assert duration(seconds) == text
