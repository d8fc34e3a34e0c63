"""Routes that take what Hugging Face's inference and TEI take: inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.answers import as_pipeline
from tf_adapters.serving.server.asked import Text
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.json_http import (
    check_keys,
    flag_of,
    read_object,
    respond,
    text_of,
    unless_gone,
)
from tf_adapters.serving.server.refusals import Refusal
from tf_adapters.serving.server.route_parts import parameters_of, task_in_path

# "options" of Hugging Face say how to wait and cache: that is theirs.
_KEYS = ("inputs", "parameters", "truncate", "options")
_TASK_KEYS = ("task", "tasks")
_PARAMETERS = ("top_k", "truncation")
_PAIRS = (("text", "text_pair"), ("question", "context"))


def pipeline_routes(server: ModelServer) -> list[Route]:
  """Makes the routes of `POST /predict` and `POST /models/{task}`."""

  async def predict(request: Request) -> Response:
    body = await read_object(request, server.config.max_body_bytes)
    check_keys(body, (*_KEYS, *_TASK_KEYS), "the body")
    return await answer(request, body, *_tasks(server, body))

  async def predict_task(request: Request) -> Response:
    task = task_in_path(request)
    server.served.check(task)
    body = await read_object(request, server.config.max_body_bytes)
    check_keys(body, _KEYS, "the body")
    return await answer(request, body, [task], False)

  async def answer(request: Request, body: Mapping[str, Any],
                   tasks: Sequence[str], by_name: bool) -> Response:
    texts, is_one = _texts(body)
    top_k, cut = _parameters(body)
    server.check_number(len(tasks) * len(texts))  # before there are as many
    try:
      answers = await unless_gone(request, server.predict(
          [text for _ in tasks for text in texts],
          [task for task in tasks for _ in texts], cut))
    except Refusal as refusal:
      if refusal.text is not None:  # of those that were sent
        refusal.text %= len(texts)
      raise

    def by_task() -> Any:
      left, made = iter(answers), {}
      for task in tasks:
        of_texts = [as_pipeline(next(left), text, top_k) for text in texts]
        made[task] = of_texts[0] if is_one else of_texts
      return made if by_name else made[tasks[0]]

    return await respond(by_task, answers)

  return [Route("/predict", predict, methods=["POST"]),
          Route("/models/{task:path}", predict_task, methods=["POST"])]


def _tasks(server: ModelServer,
           body: Mapping[str, Any]) -> tuple[list[str], bool]:
  """Returns the tasks that are asked for, and whether answers are by name."""
  if "task" in body and "tasks" in body:
    raise Refusal(refusals.WRONG_KIND,
                  "the body has both task and tasks: give one of them")
  if "tasks" in body:
    tasks = body["tasks"]
    if not isinstance(tasks, list) or not tasks:
      raise Refusal(refusals.WRONG_KIND, "tasks has to be a list of names")
    names = [text_of(task, "each of tasks") for task in tasks]
    # In a response every task stands once.
    return list(dict.fromkeys(names)), True
  if "task" in body:
    return [text_of(body["task"], "task")], False
  names = server.bank.names()
  if len(names) != 1:
    raise Refusal(
        refusals.WRONG_KIND, f"there are {len(names):,} tasks: task has to say "
        "which one the texts are for, or tasks which ones")
  return names, False


def _texts(body: Mapping[str, Any]) -> tuple[list[Text], bool]:
  """Returns the texts, and whether it was one and no list."""
  if "inputs" not in body:
    raise Refusal(refusals.WRONG_KIND,
                  'the body has no inputs: give {"inputs": "a text"}')
  inputs = body["inputs"]
  if isinstance(inputs, list):
    return [_text(one, f"inputs[{number}]")
            for number, one in enumerate(inputs)], False
  return [_text(inputs, "inputs")], True


def _text(value: Any, where: str) -> Text:
  if isinstance(value, list) and len(value) == 2:
    return (text_of(value[0], f"{where}[0]"), text_of(value[1], f"{where}[1]"))
  if isinstance(value, dict):
    for names in _PAIRS:
      if value.keys() == {*names}:
        first, second = (
            text_of(value[name], f"{where}.{name}") for name in names)
        return first, second
    if value.keys() == {"text"}:
      return text_of(value["text"], f"{where}.text")
    raise Refusal(
        refusals.WRONG_KIND, f'{where} has to be a text, {{"text", '
        '"text_pair"} or {"question", "context"}')
  return text_of(value, where)


def _parameters(body: Mapping[str, Any]) -> tuple[int | None, bool]:
  """Reads the number of labels that is wanted, and whether texts are cut."""
  parameters = parameters_of(body)
  check_keys(parameters, _PARAMETERS, "parameters")
  top_k = parameters.get("top_k")
  if top_k is not None and (type(top_k) is not int or top_k < 1):
    raise Refusal(refusals.WRONG_KIND,
                  f"top_k has to be a positive integer, not {top_k!r:.40}")
  cut = flag_of(parameters.get("truncation", False), "truncation")
  return top_k, cut or flag_of(body.get("truncate", False), "truncate")
