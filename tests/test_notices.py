"""TensorFlow's notices at import are kept from notebooks, and no more."""

import os
import sys

import pytest
import tensorflow as tf

from tf_adapters import notices
from tf_adapters.notices import quiet_import

NOTICE = b"2026-01-01 10:00:00.1: E x/y.cc:51] failed call to cuInit: no\n"
OTHER = b"2026-01-01 10:00:00.1: E external/x.cc:51] out of memory\n"


def _written(capfd):
  try:
    with quiet_import():
      os.write(2, NOTICE + b"mine\n" + OTHER)
      raise ZeroDivisionError
  except ZeroDivisionError:
    return capfd.readouterr().err


@pytest.fixture(autouse=True)
def level(monkeypatch):
  monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


def test_notices_are_dropped_and_others_come_later(monkeypatch, capfd):
  monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
  assert _written(capfd).encode() == b"mine\n" + OTHER


def test_who_wants_them_or_has_tensorflow_gets_all(monkeypatch, capfd):
  monkeypatch.setitem(sys.modules, "tensorflow", sys)
  assert _written(capfd).encode() == NOTICE + b"mine\n" + OTHER
  monkeypatch.delitem(sys.modules, "tensorflow")
  monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
  assert _written(capfd).encode() == NOTICE + b"mine\n" + OTHER


def test_the_first_operation_is_quiet(monkeypatch, capfd):
  monkeypatch.setattr(tf, "transpose", lambda _: os.write(2, NOTICE + OTHER))
  notices.quiet_first_operation.__wrapped__()
  assert capfd.readouterr().err.encode() == OTHER
  monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
  notices.quiet_first_operation.__wrapped__()
  assert capfd.readouterr().err == ""  # nothing is computed
