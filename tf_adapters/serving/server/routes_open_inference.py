"""Routes of the Open Inference Protocol, version 2, as KServe and Triton have.

Strings are BYTES tensors. Inputs and outputs are those of a SavedModel of the
task: docs/reference/server.md.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.answers import as_tensors, tensor_names
from tf_adapters.serving.server.asked import Text
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.json_http import (
    JsonResponse,
    check_keys,
    flag_of,
    read_object,
    respond,
    text_of,
    unless_gone,
)
from tf_adapters.serving.server.refusals import Refusal
from tf_adapters.serving.server.route_parts import (
    COLUMNS,
    VERSION,
    asks_to_cut,
    check_version,
    parameters_of,
    task_in_path,
    texts_of_columns,
)

_TYPES = {"label": "BYTES", "scores": "FP32", "label_names": "BYTES",
          "embedding": "FP32"}


def open_inference_routes(server: ModelServer) -> list[Route]:
  """Makes the routes below `/v2`, except for loading and unloading."""

  async def live(request: Request) -> Response:
    return JsonResponse({"live": True})

  async def ready(request: Request) -> Response:
    return JsonResponse({"ready": server.is_ready},
                        200 if server.is_ready else refusals.DRAINING)

  async def about(request: Request) -> Response:
    return JsonResponse({"name": "tf_adapters", "version": "2",
                         "extensions": ["model_repository"]})

  async def model(request: Request) -> Response:
    check_version(request)
    task = task_in_path(request)
    info = server.served.info(task)
    width = -1 if info is None else max(1, len(info.labels))
    return JsonResponse({
        "name": task, "versions": [VERSION], "platform": "tf_adapters",
        "inputs": [_tensor(name, "BYTES", [-1]) for name in COLUMNS],
        "outputs": [_tensor(name, _TYPES[name], [-1] if name == "label"
                            else [-1, width]) for name in tensor_names(task)]})

  async def model_ready(request: Request) -> Response:
    check_version(request)
    task = task_in_path(request)
    server.served.info(task)  # raises
    return JsonResponse({"name": task, "ready": server.is_ready},
                        200 if server.is_ready else refusals.DRAINING)

  async def infer(request: Request) -> Response:
    task = task_in_path(request)
    check_version(request)
    server.served.check(task)
    cut = asks_to_cut(request)
    body = await read_object(request, server.config.max_body_bytes)
    check_keys(body, ("id", "parameters", "inputs", "outputs"), "the body")
    cut = cut or _asks_to_cut(body)
    texts = _texts(body.get("inputs"))
    wanted = _wanted(body.get("outputs"), tensor_names(task))
    same_id = {"id": text_of(body["id"], "id")} if "id" in body else {}
    answers = await unless_gone(
        request, server.predict(texts, [task] * len(texts), cut))

    def outputs() -> Any:
      tensors = as_tensors(answers, task)
      return {"model_name": task, "model_version": VERSION, **same_id,
              "outputs": [_output(name, tensors[name]) for name in wanted]}

    return await respond(outputs, answers)

  async def index(request: Request) -> Response:
    return JsonResponse([
        {"name": task.name, "version": VERSION, "state": "READY", "reason": ""}
        for task in server.served.all()])

  routes = [
      Route("/v2", about, methods=["GET"]),
      Route("/v2/health/live", live, methods=["GET"]),
      Route("/v2/health/ready", ready, methods=["GET"]),
      Route("/v2/repository/index", index, methods=["POST"])]
  for version in ("/versions/{version}", ""):
    path = "/v2/models/{task:path}" + version
    routes += [Route(f"{path}/infer", infer, methods=["POST"]),
               Route(f"{path}/ready", model_ready, methods=["GET"]),
               Route(path, model, methods=["GET"])]
  return routes


def _tensor(name: str, kind: str, shape: list[int]) -> dict[str, Any]:
  return {"name": name, "datatype": kind, "shape": shape}


def _asks_to_cut(body: Mapping[str, Any]) -> bool:
  parameters = parameters_of(body)
  if parameters.get("binary_data_output"):
    raise Refusal(refusals.WRONG_KIND, "outputs are JSON alone: leave out "
                  "binary_data_output")
  return flag_of(parameters.get("truncation", False), "truncation")


def _texts(inputs: Any) -> list[Text]:
  if not isinstance(inputs, list) or not all(
      isinstance(one, dict) for one in inputs):
    raise Refusal(refusals.WRONG_KIND, "inputs has to be a list of tensors")
  columns: dict[str, list[str]] = {}
  for one in inputs:
    name = one.get("name")
    if name not in COLUMNS or name in columns:
      raise Refusal(
          refusals.WRONG_KIND, f"an input is called {name!r:.40}: a task takes "
          "text and text_pair, each once")
    columns[name] = _strings(one, name)
  if "text" not in columns:
    raise Refusal(refusals.WRONG_KIND, "inputs has no tensor text")
  return texts_of_columns(columns)


def _strings(tensor: Mapping[str, Any], name: str) -> list[str]:
  """Returns the texts of a tensor [rows] or [rows, 1].

  Raises:
    Refusal: it is something else.
  """
  shape, data = tensor.get("shape"), tensor.get("data")
  if tensor.get("datatype") != "BYTES":
    raise Refusal(refusals.WRONG_KIND, f"input {name} has the datatype "
                  f"{tensor.get('datatype')!r:.40}: texts are BYTES")
  if not (isinstance(shape, list) and len(shape) in (1, 2)
          and all(type(size) is int and size >= 0 for size in shape)
          and shape[1:] in ([], [1])):
    raise Refusal(refusals.WRONG_KIND, f"input {name} has the shape "
                  f"{shape!r:.40}: it has to be [rows] or [rows, 1]")
  if not isinstance(data, list):
    raise Refusal(refusals.WRONG_KIND, f"input {name} has no data in JSON")
  values = [one[0] if isinstance(one, list) and len(one) == 1 else one
            for one in data]
  if len(values) != math.prod(shape):
    raise Refusal(refusals.WRONG_KIND, f"input {name} has {len(values)} "
                  f"values, and the shape {shape!r:.40}")
  return [text_of(value, f"input {name}[{number}]")
          for number, value in enumerate(values)]


def _wanted(outputs: Any, there: Sequence[str]) -> Sequence[str]:
  """Returns the names of the outputs that are asked for; all where none are."""
  if outputs is None:
    return there
  names = [one.get("name") if isinstance(one, dict) else None
           for one in outputs] if isinstance(outputs, list) else [None]
  for name in names:
    if name not in there:
      raise Refusal(refusals.WRONG_KIND, f"no output {name!r:.40}: there is "
                    f"{', '.join(there)}")
  return [name for name in there if name in names]


def _output(name: str, values: list[Any]) -> dict[str, Any]:
  if name == "label":
    return {**_tensor(name, _TYPES[name], [len(values)]), "data": values}
  width = len(values[0]) if values else 0
  return {**_tensor(name, _TYPES[name], [len(values), width]),
          "data": [one for row in values for one in row]}
