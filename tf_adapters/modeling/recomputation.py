"""Computes again in the backward pass what would have to be kept for it.

Rematerialisation (Chen et al., Training Deep Nets with Sublinear Memory Cost,
2016): of each part of a model its input is kept, and nothing that is inside.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tf_adapters.modeling import compilation


class _Numbers:
  """The random numbers of a part, drawn once and the same when it is repeated.

  Args:
    drawn: by the part, in its order; None if it has not been computed yet.
  """

  def __init__(self, drawn: list[tf.Tensor] | None = None):
    self.drawn: list[tf.Tensor] = []
    self._again = None if drawn is None else iter(drawn)

  def next(self, draw: Callable[[], tf.Tensor]) -> tf.Tensor:
    self.drawn.append(draw() if self._again is None else next(self._again))
    return self.drawn[-1]


_NUMBERS: contextvars.ContextVar[_Numbers | None] = contextvars.ContextVar(
    "numbers", default=None)


@contextlib.contextmanager
def _with_numbers(numbers: _Numbers) -> Iterator[None]:
  token = _NUMBERS.set(numbers)
  try:
    yield
  finally:
    _NUMBERS.reset(token)


def drawn(draw: Callable[[], tf.Tensor]) -> tf.Tensor:
  """Draws a number, or gives what was drawn when the part was computed before.

  Args:
    draw: a random number, such as the seed of a mask; it may change a variable.
  """
  numbers = _NUMBERS.get()
  return draw() if numbers is None else numbers.next(draw)


def recomputed(function: Callable[[tf.Tensor], tf.Tensor],
               inputs: tf.Tensor) -> tf.Tensor:
  """Computes `function(inputs)`, and keeps the inputs alone for the gradient.

  Args:
    function: may use variables, which get their gradients too. Other tensors
      that it uses get none. Whatever is random in it is `drawn`.
    inputs: one tensor.

  Example:
    >>> hidden = recomputed(lambda hidden: layer(hidden, training=True), hidden)
  """
  numbers = _Numbers()

  @tf.custom_gradient
  def with_gradient(inputs: tf.Tensor) -> Any:

    def gradient(upstream: tf.Tensor, variables: Any = ()) -> Any:
      # Or it could be computed, and kept, before it is wanted.
      again, upstream = compilation.again_after(inputs, upstream)
      with tf.GradientTape() as tape, _with_numbers(_Numbers(numbers.drawn)):
        tape.watch(again)
        outputs = function(again)
      first, *others = tape.gradient(outputs, [again, *variables], upstream)
      return (first, others) if variables else first

    with _with_numbers(numbers):
      return function(inputs), gradient

  return with_gradient(inputs)
