"""Routes that take what TensorFlow Serving's REST API takes.

Inputs and outputs are those of a SavedModel of the task:
docs/reference/server.md.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.answers import as_tensors
from tf_adapters.serving.server.asked import Columns, Text
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.json_http import (
    JsonResponse,
    check_keys,
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
    task_in_path,
    texts_of_columns,
)

_SIGNATURE = "serving_default"


def tensorflow_serving_routes(server: ModelServer) -> list[Route]:
  """Makes the routes below `/v1/models/{task}` of TensorFlow Serving."""

  async def predict(request: Request) -> Response:
    task = task_in_path(request)
    check_version(request)
    server.served.check(task)
    cut = asks_to_cut(request)
    body = await read_object(request, server.config.max_body_bytes)
    check_keys(body, ("instances", "inputs", "signature_name"), "the body")
    _check_signature(body)
    if ("instances" in body) == ("inputs" in body):
      raise Refusal(refusals.WRONG_KIND, "the body has to have instances, a "
                    "list of texts, or inputs, lists by name")
    texts = (_of_rows(body["instances"]) if "instances" in body
             else _of_columns(body["inputs"]))
    answers = await unless_gone(
        request, server.predict(texts, [task] * len(texts), cut))

    def outputs() -> Any:
      tensors = as_tensors(answers, task)
      return ({"predictions": _rows(tensors)} if "instances" in body
              else {"outputs": _columns(tensors)})

    return await respond(outputs, answers)

  async def status(request: Request) -> Response:
    check_version(request)
    server.served.info(task_in_path(request))  # raises
    return JsonResponse({"model_version_status": [{
        "version": VERSION, "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""}}]})

  async def metadata(request: Request) -> Response:
    check_version(request)
    task = task_in_path(request)
    return JsonResponse({
        "model_spec": {"name": task, "signature_name": "",
                       "version": VERSION},
        "metadata": {"signature_def": {"signature_def": {
            _SIGNATURE: _signature(server.served.info(task))}}}})

  routes = []
  for version in ("/versions/{version}", ""):
    path = "/v1/models/{task:path}" + version
    routes += [
        Route(f"{path}:predict", predict, methods=["POST"]),
        Route(f"{path}/metadata", metadata, methods=["GET"]),
        Route(path, status, methods=["GET"])]
  return routes


def _check_signature(body: Mapping[str, Any]) -> None:
  name = body.get("signature_name", _SIGNATURE)
  if name not in ("", _SIGNATURE):
    raise Refusal(refusals.WRONG_KIND, f"no signature {name!r:.40}: there is "
                  f"{_SIGNATURE}")


def _of_rows(instances: Any) -> list[Text]:
  if not isinstance(instances, list):
    raise Refusal(refusals.WRONG_KIND, "instances has to be a list")
  texts: list[Text] = []
  for number, one in enumerate(instances):
    where = f"instances[{number}]"
    if not isinstance(one, dict) or "b64" in one:
      one = {"text": one}
    check_keys(one, COLUMNS, where)
    if "text" not in one:
      raise Refusal(refusals.WRONG_KIND, f"{where} has no text")
    parts = [_string(one[name], f"{where}.{name}")
             for name in COLUMNS if name in one]
    texts.append(Columns(*parts) if len(parts) == 2 else parts[0])
  return texts


def _of_columns(inputs: Any) -> list[Text]:
  if not isinstance(inputs, dict) or "b64" in inputs:
    inputs = {"text": inputs}
  check_keys(inputs, COLUMNS, "inputs")
  if "text" not in inputs:
    raise Refusal(refusals.WRONG_KIND, "inputs has no text")
  columns = {}
  for name, values in inputs.items():
    if not isinstance(values, list):
      raise Refusal(refusals.WRONG_KIND,
                    f"inputs.{name} has to be a list of texts")
    columns[name] = [_string(value, f"inputs.{name}[{number}]")
                     for number, value in enumerate(values)]
  if len(columns.get("text_pair", ())) == 1:  # for all, as in a SavedModel
    columns["text_pair"] *= len(columns["text"])
  return texts_of_columns(columns)


def _string(value: Any, where: str) -> str:
  """Returns a text, or one in base 64.

  Raises:
    Refusal: it is something else.
  """
  if isinstance(value, dict) and value.keys() == {"b64"}:
    try:
      return base64.b64decode(
          text_of(value["b64"], f"{where}.b64"), validate=True).decode()
    except (binascii.Error, ValueError):
      raise Refusal(refusals.WRONG_KIND,
                    f"{where}.b64 is no UTF-8 in base 64") from None
  return text_of(value, where)


def _rows(outputs: Mapping[str, list[Any]]) -> list[Any]:
  if len(outputs) == 1:  # then its name is left out
    (values,) = outputs.values()
    return values
  return [dict(zip(outputs, row)) for row in zip(*outputs.values())]


def _columns(outputs: Mapping[str, list[Any]]) -> Any:
  if len(outputs) == 1:
    (values,) = outputs.values()
    return values
  return outputs


def _signature(info: AdapterInfo | None) -> dict[str, Any]:

  def tensor(name: str, kind: str, *sizes: int) -> dict[str, Any]:
    return {"dtype": kind, "name": name, "tensor_shape": {
        "dim": [{"size": str(size), "name": ""} for size in sizes],
        "unknown_rank": False}}

  if info is None:  # the encoder alone
    outputs = {"embedding": tensor("embedding", "DT_FLOAT", -1, -1)}
  else:
    width = max(1, len(info.labels))
    outputs = {"label": tensor("label", "DT_STRING", -1),
               "scores": tensor("scores", "DT_FLOAT", -1, width),
               "label_names": tensor("label_names", "DT_STRING", -1, width)}
  return {
      "inputs": {name: tensor(name, "DT_STRING", -1) for name in COLUMNS},
      "outputs": outputs,
      "method_name": "tensorflow/serving/predict"}
