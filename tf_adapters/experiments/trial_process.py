"""A trial as a process of its own: the same run as by hand, with a log.

Beside the trial's folder stand NAME.flags, its command, and NAME.log. The
process holds a lock on its log for as long as it lives, whatever became of the
sweep that started it.
"""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping

from tf_adapters.experiments.records import last_error
from tf_adapters.experiments.trials import Trial
from tf_adapters.files import write_file, writing


class TrialProcess:
  """A trial at work.

  Where a process of an earlier sweep, one that was killed, is still at work on
  it, this stands for that one: `adopted`.

  Args:
    trial: the trial.
    tool: the tool whose run it is.
    environment: variables to set beside this process's own.

  Raises:
    InputError: its files can not be written.
  """

  def __init__(self, trial: Trial, tool: str,
               environment: Mapping[str, str]):
    self.trial = trial
    self._process = None
    folder = pathlib.Path(trial.config.output_dir)
    self._log = folder.with_name(f"{folder.name}.log")
    with writing(self._log):
      self._log.parent.mkdir(parents=True, exist_ok=True)
      with open(self._log, "ab") as log:
        if not _lock(log.fileno()):
          return
        self._log_start = log.tell()
        flag_file = folder.with_name(f"{folder.name}.flags")
        write_file(flag_file, "\n".join(trial.config.flag_lines()) + "\n")
        # A session of its own: Ctrl-C is for the sweep, which says it to all.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tf_adapters", tool,
             f"--flagfile={flag_file}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**os.environ, **environment}, start_new_session=True)

  @property
  def adopted(self) -> bool:
    """Whether another sweep started it: how it ends is seen in its folder."""
    return self._process is None

  def poll(self) -> int | None:
    """Its exit status, 0 for one that was adopted; None while it works."""
    if self._process is not None:
      return self._process.poll()
    with open(self._log, "ab") as log:
      return 0 if _lock(log.fileno()) else None

  def stop(self) -> None:
    """Asks it to end, with its state saved. One that was adopted goes on."""
    if self._process is not None:
      self._process.send_signal(signal.SIGTERM)

  def kill(self) -> None:
    """Ends it at once."""
    if self._process is not None:
      self._process.kill()
      self._process.wait()

  def error(self) -> str:
    """Why it ended, in one line; not of one that was adopted."""
    status = self._process.returncode
    if status < 0:
      return f"ended by {signal.Signals(-status).name}"
    return last_error(self._log, self._log_start)


def _lock(descriptor: int) -> bool:
  """Locks a file for whoever holds it open, children included."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:
    pass  # a file system without locks; the run says so of its folder
  return True
