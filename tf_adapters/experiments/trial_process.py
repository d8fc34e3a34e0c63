"""A trial as a process of its own: the same run as by hand, with a log.

Beside the trial's folder stand NAME.flags, its command, and NAME.log. The
process holds a lock on its log for as long as it lives, whatever became of the
sweep that started it.

This is all that a machine needs to run trials: TensorFlow is its processes'
business.
"""

import dataclasses
import fcntl
import os
import pathlib
import re
import signal
import subprocess
import sys

from tf_adapters.files.writing import write_file, writing
from tf_adapters.training.run_folder import RESULTS_NAME

_LOG_TAIL = 1 << 16  # bytes


@dataclasses.dataclass(frozen=True)
class TrialCommand:
  """A trial as the command that runs it.

  Attributes:
    tool: whose run it is.
    flag_lines: the run's.
    output_dir: the trial's folder.
    working_dir: what paths in flags are relative to.
    threads: how many TensorFlow takes, unless the environment says so; None for
      all cores.
  """

  tool: str
  flag_lines: tuple[str, ...]
  output_dir: pathlib.Path
  working_dir: pathlib.Path
  threads: int | None = None


class TrialProcess:
  """A trial at work.

  Where a process of an earlier sweep, one that was killed, is still at work on
  it, this stands for that one, as long as it lives: `adopted`.

  Args:
    command: the trial's.

  Raises:
    InputError: its files cannot be written.
  """

  def __init__(self, command: TrialCommand):
    self._command = command
    self._process: subprocess.Popen[bytes] | None = None
    folder = command.output_dir
    self._log = folder.with_name(f"{folder.name}.log")
    self._log_start = 0
    self._start()

  @property
  def adopted(self) -> bool:
    """Whether another sweep started it: how it ends is seen in its folder."""
    return self._process is None

  def poll(self) -> int | None:
    """Returns its exit status; None while it works.

    Where one that was adopted has ended without results, another is started.
    """
    if self._process is not None:
      return self._process.poll()
    if (self._command.output_dir / RESULTS_NAME).exists():
      return 0
    self._start()
    return None

  def stop(self) -> None:
    """Asks it to end, with its state saved. One that was adopted goes on."""
    if self._process is not None:
      self._process.send_signal(signal.SIGTERM)

  def kill(self) -> None:
    """Ends it at once. One that was adopted goes on."""
    if self._process is not None:
      self._process.kill()
      self._process.wait()

  def error(self) -> str | None:
    """Returns why it ended, in one line, if it failed; None if it was adopted.
    """
    if self._process is None:
      return None
    status = self._process.returncode
    if status < 0:
      return f"ended by {signal.Signals(-status).name}"
    return last_error(self._log, self._log_start)

  def _start(self) -> None:
    """Starts the process, unless there is one that holds the lock."""
    command = self._command
    folder = command.output_dir
    with writing(self._log):
      self._log.parent.mkdir(parents=True, exist_ok=True)
      with open(self._log, "ab") as log:
        if not _lock(log.fileno()):
          return
        self._log_start = log.tell()
        flag_file = folder.with_name(f"{folder.name}.flags")
        write_file(flag_file, "\n".join(command.flag_lines) + "\n")
        # A session of its own: Ctrl-C is for the sweep, which says it to all.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tf_adapters", command.tool,
             f"--flagfile={flag_file}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            cwd=command.working_dir, start_new_session=True,
            env={**_threads(command.threads), **os.environ})


def last_error(log: pathlib.Path, start: int = 0) -> str:
  """Finds the line of a log that says why a run ended; else its last one.

  Args:
    log: the file.
    start: where what the run said begins.
  """
  with open(log, "rb") as file:
    file.seek(max(log.stat().st_size - _LOG_TAIL, start))
    text = file.read().decode(errors="replace")
  lines = [line.strip() for line in re.split(r"[\r\n\b]+", text)]
  lines = [line for line in lines if line]
  errors = [line for line in lines if line.startswith("error: ")]
  return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")


def _threads(count: int | None) -> dict[str, str]:
  """Makes variables of the environment: TensorFlow takes all cores without."""
  if count is None:
    return {}
  return dict.fromkeys(
      ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(count))


def _lock(descriptor: int) -> bool:
  """Locks a file for whoever holds it open, children included."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:
    pass  # a file system without locks; the run says so of its folder
  return True
