"""Runs a tool in this process, as the command line would."""

import sys

import pytest
from absl import flags
from absl.testing import flagsaver


def call(tool, *arguments):
  """Returns the exit status of a module of tools/."""
  with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as monkeypatch:
    flags.FLAGS.unparse_flags()
    monkeypatch.setattr(sys, "argv", ["tool", *arguments])
    with pytest.raises(SystemExit) as stopped:
      tool.main()
  return stopped.value.code or 0
