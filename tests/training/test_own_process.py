"""Calls in processes of their own."""

import math
import operator
import os

import pytest

from tf_adapters.training.own_process import ProcessCrashed, call_apart


def test_returns_and_raises_as_the_function_does():
  assert call_apart(operator.add, b"a", b"b") == b"ab"
  with pytest.raises(ZeroDivisionError, match="division by zero"):
    call_apart(operator.truediv, 1, 0)
  with pytest.raises(ValueError, match="math domain error"):
    call_apart(math.sqrt, -1)


@pytest.mark.parametrize("function, arguments, message", [
    (os.abort, (), "SIGABRT"), (os._exit, (3,), "status 3")])
def test_a_crash_is_an_error(function, arguments, message):
  with pytest.raises(ProcessCrashed, match=message):
    call_apart(function, *arguments)
