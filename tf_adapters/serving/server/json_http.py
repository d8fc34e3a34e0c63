"""JSON over HTTP from and to anybody: bodies of any size, shape and bytes."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from tf_adapters.errors import listed
from tf_adapters.serving.server import refusals
from tf_adapters.serving.server.asked import Answer
from tf_adapters.serving.server.refusals import Refusal

_Answer = TypeVar("_Answer")

_SECONDS_TO_SEND = 30.0
_MANY_LABELS = 5000  # of all texts of a request
# A client that is cut off while it sends does not read why.
_SECONDS_TO_DISCARD = 5.0


class JsonResponse(JSONResponse):
  """JSON in ASCII: labels of adapter files may hold what UTF-8 cannot."""

  def render(self, content: Any) -> bytes:
    return json.dumps(
        content, allow_nan=False, separators=(",", ":")).encode()


def refused(refusal: Refusal) -> JsonResponse:
  """Makes the response to a request that is refused."""
  headers = {} if refusal.retry_after is None else {
      "Retry-After": str(refusal.retry_after)}
  if refusal.status == refusals.UNAUTHORIZED:
    headers["WWW-Authenticate"] = "Bearer"
  return JsonResponse({"error": refusal.message}, refusal.status, headers)


async def read_object(request: Request, most: int) -> dict[str, Any]:
  """Reads the JSON object that is a request's body.

  Args:
    request: the request.
    most: bytes that it may have.

  Raises:
    Refusal: it has more, takes too long to come, is compressed, or is something
      else.
    ClientDisconnect: the client hung up.
  """
  coding = request.headers.get("content-encoding", "identity")
  if coding.lower() not in ("", "identity"):
    await _discard(request)
    raise Refusal(refusals.COMPRESSED, "the body is encoded as "
                  f"{coding!r:.40}: send it as it is")
  body = await _read_body(request, most)
  value = parse_json(body)
  if not isinstance(value, dict):
    raise Refusal(refusals.WRONG_KIND, "the body has to be a JSON object")
  return value


async def _read_body(request: Request, most: int) -> bytes:
  size = request.headers.get("content-length", "")
  if size.isdecimal() and int(size) > most:
    await _discard(request)
    raise _too_large(most)
  body, has_more = bytearray(), True
  try:
    async with asyncio.timeout(_SECONDS_TO_SEND):
      while has_more and len(body) <= most:
        message = await request.receive()
        if message["type"] == "http.disconnect":
          raise ClientDisconnect
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
  except TimeoutError:
    raise Refusal(
        refusals.TIMEOUT, "the body did not come within "
        f"{_SECONDS_TO_SEND:.0f} seconds") from None
  if len(body) > most:
    if has_more:
      await _discard(request)
    raise _too_large(most)
  return bytes(body)


async def _discard(request: Request) -> None:
  """Reads what else a client sends, so that it reads the answer.

  A client that asks before it sends is told at once.
  """
  if request.headers.get("expect", "").lower() != "100-continue":
    with contextlib.suppress(TimeoutError):
      async with asyncio.timeout(_SECONDS_TO_DISCARD):
        while (await request.receive()).get("more_body"):
          pass


def _too_large(most: int) -> Refusal:
  return Refusal(refusals.TOO_LARGE, f"the body has more than the {most:,} "
                 "bytes that a request may have: send less")


def parse_json(content: bytes) -> Any:
  """Parses JSON in UTF-8.

  Raises:
    Refusal: it is none, holds NaN, an infinity or a key twice, or is nested too
      deeply.
  """
  try:
    text = content.decode("utf-8-sig")  # some editors write its mark
  except UnicodeDecodeError as error:
    raise Refusal(refusals.BAD_REQUEST,
                  f"the body is not UTF-8 at byte {error.start}") from None
  try:
    return json.loads(text, parse_constant=_refuse_constant,
                      object_pairs_hook=_object)
  except json.JSONDecodeError as error:
    raise Refusal(
        refusals.BAD_REQUEST, f"the body is no JSON: {error.msg} at character "
        f"{error.pos}") from None
  except RecursionError:
    raise Refusal(refusals.BAD_REQUEST,
                  "the body is nested too deeply") from None
  except ValueError:  # a number of thousands of digits
    raise Refusal(refusals.BAD_REQUEST,
                  "the body holds a number that is too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  values = dict(pairs)
  if len(values) < len(pairs):  # who checks a request may read the other one
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise Refusal(refusals.BAD_REQUEST,
                  f"the body has the key {twice!r:.80} twice")
  return values


def _refuse_constant(name: str) -> NoReturn:
  raise Refusal(refusals.BAD_REQUEST, f"the body is no JSON: it holds {name}")


def check_keys(values: Mapping[str, Any], known: tuple[str, ...],
               where: str) -> None:
  """Refuses keys that would have no effect.

  Raises:
    Refusal: there is one.
  """
  unknown = [key for key in values if key not in known]
  if unknown:
    raise Refusal(
        refusals.WRONG_KIND, f"{where} has an unknown key {unknown[0]!r:.80}: "
        f"it may have {listed(known)}")


def text_of(value: Any, where: str) -> str:
  """Checks a value that has to be a text, and returns it.

  Raises:
    Refusal: it is something else, or has half a character.
  """
  if not isinstance(value, str):
    raise Refusal(refusals.WRONG_KIND,
                  f"{where} has to be a text, not {value!r:.40}")
  try:
    value.encode()
  except UnicodeEncodeError:
    raise Refusal(
        refusals.WRONG_KIND,
        f"{where} has half of a surrogate pair, which is no character"
    ) from None
  return value


def flag_of(value: Any, where: str) -> bool:
  """Checks a value that has to be true or false, and returns it.

  Raises:
    Refusal: it is something else.
  """
  if not isinstance(value, bool):
    raise Refusal(refusals.WRONG_KIND,
                  f"{where} has to be true or false, not {value!r:.40}")
  return value


async def respond(make: Callable[[], Any],
                  answers: Sequence[Answer]) -> JsonResponse:
  """Makes the response that holds what is made of answers.

  Where there are very many labels, that takes so long that it is made beside
  the thread of the event loop.
  """
  if sum(len(answer.info.labels) for answer in answers
         if answer.info) < _MANY_LABELS:
    return JsonResponse(make())
  return await asyncio.to_thread(lambda: JsonResponse(make()))


async def unless_gone(request: Request,
                      work: Awaitable[_Answer]) -> _Answer:
  """Waits for work, and gives it up when the client hangs up.

  Raises:
    ClientDisconnect: it did.
  """
  working = asyncio.ensure_future(work)
  gone = asyncio.ensure_future(_gone(request))
  try:
    await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
      return working.result()
    raise ClientDisconnect
  finally:
    for task in (working, gone):
      task.cancel()
    await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
  while (await request.receive())["type"] != "http.disconnect":
    pass
