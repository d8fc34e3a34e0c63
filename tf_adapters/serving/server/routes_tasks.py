"""Routes that list tasks, and those that change them, for whoever has a token.
"""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tf_adapters.errors import InputError
from tf_adapters.serving.adapter_folder import IncompleteError
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.asked import ServedTask
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.json_http import (
    JsonResponse,
    check_keys,
    read_object,
    text_of,
)
from tf_adapters.serving.server.refusals import Refusal
from tf_adapters.serving.server.route_parts import task_in_path

_Handler = Callable[[Request], Awaitable[Response]]
_MOST_BYTES = 100_000  # of a request that changes tasks


def task_routes(server: ModelServer, admin_token: str | None) -> list[Route]:
  """Makes the routes of `GET /v1/models`, and of what changes tasks.

  Args:
    server: the server.
    admin_token: what requests that change tasks have to send, as
      "Authorization: Bearer TOKEN"; None where all of them are refused.
  """

  async def models(request: Request) -> Response:
    # Beside the thread of the event loop: there can be many thousands.
    return await asyncio.to_thread(lambda: JsonResponse({
        "object": "list", "data": [
            _description(server, task) for task in server.served.all()]}))

  async def add(request: Request) -> Response:
    body = await read_object(request, _MOST_BYTES)
    check_keys(body, ("name", "path"), "the body")
    if "path" not in body:
      raise Refusal(refusals.WRONG_KIND, "the body has no path: give the "
                    "adapter file's")
    path, name = text_of(body["path"], "path"), body.get("name")
    if "\0" in path:
      raise Refusal(refusals.WRONG_KIND, "no path has a NUL in it")
    name = await server.add(
        path,
        None if name is None else text_of(name, "name"))
    return JsonResponse(_description(server, server.served.find(name)))

  async def remove(request: Request) -> Response:
    task = task_in_path(request)
    await server.remove(task)
    return JsonResponse({"id": task, "object": "model", "deleted": True})

  async def load(request: Request) -> Response:
    """Reads a task's file again."""
    task = server.served.find(task_in_path(request))
    if not task.path:
      raise Refusal(refusals.WRONG_KIND, f"where the file of task {task.name} "
                    "is is not known: POST /v1/adapters takes a path")
    await server.add(task.path, task.name)
    return JsonResponse({})

  async def unload(request: Request) -> Response:
    await server.remove(task_in_path(request))
    return JsonResponse({})

  def guarded(handler: _Handler) -> _Handler:
    async def guard(request: Request) -> Response:
      _check_token(request, admin_token)
      try:
        return await handler(request)
      except IncompleteError:
        raise
      except InputError as error:
        raise Refusal(refusals.WRONG_KIND, str(error)) from None
    return guard

  return [
      Route("/v1/models", models, methods=["GET"]),
      Route("/v1/adapters", guarded(add), methods=["POST"]),
      Route("/v1/adapters/{task:path}", guarded(remove), methods=["DELETE"]),
      Route("/v2/repository/models/{task:path}/load", guarded(load),
            methods=["POST"]),
      Route("/v2/repository/models/{task:path}/unload", guarded(unload),
            methods=["POST"])]


def _description(server: ModelServer, task: ServedTask) -> dict[str, Any]:
  info = task.info
  return {"id": task.name, "object": "model", "parent": server.bank.source,
          "root": task.path, "problem_type": info.problem_type,
          "labels": info.labels, "metrics": {
              # JSON has no NaN, which some metrics are of some data.
              split: {name: None if math.isnan(value) else value
                      for name, value in values.items()}
              for split, values in info.metrics.items()},
          "pair": info.takes_pairs}


def _check_token(request: Request, admin_token: str | None) -> None:
  if admin_token is None:
    raise Refusal(refusals.FORBIDDEN, "tasks cannot be changed by requests: "
                  "the server was started without --admin_token_file")
  scheme, _, token = request.headers.get("authorization", "").partition(" ")
  # In a time that does not tell how much of it is right.
  if scheme.lower() != "bearer" or not hmac.compare_digest(
      token.strip().encode(), admin_token.encode()):
    raise Refusal(refusals.UNAUTHORIZED, "this changes tasks: send the "
                  "server's token, as Authorization: Bearer TOKEN")
