"""The page that a server shows to browsers, and what it may do there."""

import base64
import hashlib
import importlib.resources
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# What stands in the page itself.
_INLINE = re.compile(r"<(style|script)\b[^>]*>(.*?)</\1>", re.DOTALL)


def page_routes() -> list[Route]:
  """Makes the route of `GET /`."""
  content = (importlib.resources.files(__package__) / "page" / "index.html"
             ).read_text(encoding="utf-8")
  headers = {
      "Content-Security-Policy": content_security_policy(content),
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-cache"}

  async def page(request: Request) -> Response:
    return Response(content, headers=headers, media_type="text/html")

  return [Route("/", page, methods=["GET"])]


def content_security_policy(page: str) -> str:
  """Lets a page run what stands in it, talk to its server, and nothing else.

  A label or a task's name that holds markup, which a fault of the page would
  show as such, cannot run anything.

  Args:
    page: HTML, whose styles and scripts are known by their sha256.
  """
  hashes: dict[str, list[str]] = {"style": [], "script": []}
  for kind, content in _INLINE.findall(page):
    digest = hashlib.sha256(content.encode()).digest()
    hashes[kind].append(f"'sha256-{base64.b64encode(digest).decode()}'")
  rules = {
      "default-src": ["'none'"], "connect-src": ["'self'"],
      "img-src": ["'self'", "data:"], "base-uri": ["'none'"],
      "form-action": ["'none'"], "frame-ancestors": ["'none'"],
      **{f"{kind}-src": found or ["'none'"] for kind, found in hashes.items()}}
  return "; ".join(" ".join([name, *values]) for name, values in rules.items())
