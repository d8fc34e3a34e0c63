"""What several routes have in common."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.core import ModelServer, Text
from tf_adapters.serving.server.refusals import Refusal

# A task has one version at a time, its newest; protocols want a number.
VERSION = "1"


def task_in_path(request: Request) -> str:
  """The task that a path names."""
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


def info_of(server: ModelServer, task: str) -> AdapterInfo | None:
  """What a task's file says; None for the encoder alone.

  Raises:
    Refusal: there is no such task.
  """
  return None if task == BASE else server.task(task).info


def text_or_pair(info: AdapterInfo | None, first: str,
                 second: str | None) -> Text:
  """A row of two columns, as SavedModels of tasks take it.

  Args:
    info: the task's; None for the encoder alone.
    first: the text.
    second: the second one; None where there is no such column. An empty one is
      none, unless the task is on pairs.
  """
  if second or (second is not None and info is not None and info.takes_pairs):
    return first, second
  return first


def parameters_of(body: Mapping[str, Any]) -> dict[str, Any]:
  """The "parameters" of a body; none where there are none.

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
  """Whether texts that are too long are cut: `?truncation=true`.

  Raises:
    Refusal: it is something else.
  """
  value = request.query_params.get("truncation", "false")
  if value not in ("true", "false"):
    raise Refusal(refusals.WRONG_KIND,
                  f"truncation has to be true or false, not {value!r:.40}")
  return value == "true"
