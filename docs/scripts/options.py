"""Defaults of options in the reference.

A field such as `size: int = option(64, "Width of the bottleneck.", least=1)` is
shown as `size=64`. An extension of griffe, which mkdocstrings reads docstrings
with.
"""

import ast

import griffe


class Options(griffe.Extension):
  """Puts the default in the place of a call of `option`."""

  def on_attribute_instance(self, *, node, attr, **_):
    call = getattr(node, "value", None)
    if isinstance(call, ast.Call) and call.args and (
        getattr(call.func, "id", None) == "option"):
      attr.value = ast.unparse(call.args[0])
