"""A server as an ASGI application: routes, errors, metrics."""

import asyncio

import prometheus_client
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tf_adapters.errors import InputError
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.json_http import JsonResponse, refused
from tf_adapters.serving.server.log import log_defect
from tf_adapters.serving.server.metrics import Metrics
from tf_adapters.serving.server.page import page_routes
from tf_adapters.serving.server.refusals import HUNG_UP, Refusal, of_file
from tf_adapters.serving.server.routes_open_inference import (
    open_inference_routes,
)
from tf_adapters.serving.server.routes_pipeline import pipeline_routes
from tf_adapters.serving.server.routes_tasks import task_routes
from tf_adapters.serving.server.routes_tensorflow_serving import (
    tensorflow_serving_routes,
)


def make_application(server: ModelServer,
                     admin_token: str | None = None) -> Starlette:
  """Makes the ASGI application of a server.

  Args:
    server: answers.
    admin_token: what requests that change tasks have to send; None where all
      of them are refused.

  Example:
    >>> uvicorn.run(make_application(ModelServer(bank)), port=8080)
  """
  metrics = Metrics(
      server.figures, server.config.task_metrics, server.bank)
  server.observers.append(metrics)

  async def stats(request: Request) -> Response:
    return JsonResponse(await asyncio.to_thread(server.figures))

  async def show_metrics(request: Request) -> Response:
    return Response(await asyncio.to_thread(metrics.text), headers={
        "Content-Type": prometheus_client.CONTENT_TYPE_LATEST})

  application = Starlette(
      routes=[
          *page_routes(), Route("/stats", stats, methods=["GET"]),
          Route("/metrics", show_metrics, methods=["GET"]),
          *pipeline_routes(server), *task_routes(server, admin_token),
          *tensorflow_serving_routes(server), *open_inference_routes(server)],
      exception_handlers={
          Refusal: _refused, InputError: _cannot_be_read,
          HTTPException: _no_route, ClientDisconnect: _hung_up})
  application.router.redirect_slashes = False
  application.add_middleware(_Counted, metrics=metrics, server=server)
  return application


async def _refused(request: Request, error: Exception) -> Response:
  assert isinstance(error, Refusal)
  return refused(error)


async def _cannot_be_read(request: Request, error: Exception) -> Response:
  assert isinstance(error, InputError)
  return refused(of_file(error))


async def _no_route(request: Request, error: Exception) -> Response:
  assert isinstance(error, HTTPException)
  what = ("there is no such route" if error.status_code == 404
          else f"this route does not take {request.method}"
          if error.status_code == 405 else error.detail)
  return JsonResponse(
      {"error": f"{what}: docs/reference/server.md lists the routes"},
      error.status_code, error.headers)


async def _hung_up(request: Request, error: Exception) -> Response:
  return Response(status_code=HUNG_UP)  # which nobody reads


class _Counted:
  """Counts answers, and writes what failed to standard error.

  While the server drains, an answer says that its connection closes: a client
  that sent another request on it would lose that.

  Args:
    app: what answers.
    metrics: what counts.
    server: what drains.
  """

  def __init__(self, app: ASGIApp, metrics: Metrics, server: ModelServer):
    self._app = app
    self._metrics = metrics
    self._server = server

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return

    has_begun = False

    async def counted(message: Message) -> None:
      nonlocal has_begun
      if message["type"] == "http.response.start":
        has_begun = True
        self._metrics.request(message["status"])
        if self._server.is_draining:
          message["headers"] = [*message["headers"], (b"connection", b"close")]
      await send(message)

    try:
      await self._app(scope, receive, counted)
    except Exception:
      log_defect()
      if has_begun:
        raise
      failed = JsonResponse({"error": "the server failed: its log says why"},
                            500)
      await failed(scope, receive, counted)
