"""Parts that several routes have in common."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.asked import Columns, Text
from tf_adapters.serving.server.refusals import Refusal

# A task has one version at a time, its newest; protocols want a number.
VERSION = "1"
# What a row of a task has, as in a SavedModel; the first one alone is needed.
COLUMNS = ("text", "text_pair")


def task_in_path(request: Request) -> str:
  """Returns the task that a path names."""
  task: str = request.path_params["task"]
  return task


def check_version(request: Request) -> None:
  """Refuses another version than there is.

  Raises:
    Refusal: the path names one.
  """
  version = request.path_params.get("version", VERSION)
  if version != VERSION:
    raise Refusal(refusals.NOT_FOUND, f"no version {version!r:.40}: a task "
                  f"has its newest one alone, which is called {VERSION}")


def texts_of_columns(columns: Mapping[str, list[str]]) -> list[Text]:
  """Returns the rows of "text" and, where there is such a column, "text_pair".

  Raises:
    Refusal: they are not of the same length.
  """
  texts = columns["text"]
  if "text_pair" not in columns:
    return [*texts]
  pairs = columns["text_pair"]
  if len(pairs) != len(texts):
    raise Refusal(refusals.WRONG_KIND, f"{len(texts)} values of text, but "
                  f"{len(pairs)} of text_pair")
  return [Columns(*both) for both in zip(texts, pairs)]


def parameters_of(body: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the "parameters" of a body; none where there are none.

  Raises:
    Refusal: they are something else.
  """
  parameters = body.get("parameters")
  if parameters is None:
    return {}
  if not isinstance(parameters, dict):
    raise Refusal(refusals.WRONG_KIND, "parameters has to be an object")
  return parameters


def asks_to_cut(request: Request) -> bool:
  """Returns whether texts that are too long are cut: `?truncation=true`.

  Raises:
    Refusal: it is something else.
  """
  value = request.query_params.get("truncation", "false")
  if value not in ("true", "false"):
    raise Refusal(refusals.WRONG_KIND,
                  f"truncation has to be true or false, not {value!r:.40}")
  return value == "true"
