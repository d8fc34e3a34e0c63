"""A real Chromium, driven by the W3C's WebDriver protocol: HTTP and JSON.

Needs the programs `chromium` and `chromedriver`, and no package.
"""

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
    "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")
# A key of WebDriver's for what the reference of an element is stored under.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
CONTROL, ENTER, TAB, DOWN, RIGHT = (
    "\ue009", "\ue007", "\ue004", "\ue015", "\ue014")


class Browser:
  """One window.

  Args:
    session: the URL of a WebDriver session.
  """

  def __init__(self, session):
    self._session = session

  def open(self, url):
    _call(f"{self._session}/url", url=url)

  def resize(self, width, height):
    """Sets the size of the page, in its own pixels."""
    _call(f"{self._session}/goog/cdp/execute",
          cmd="Emulation.setDeviceMetricsOverride", params={
              "width": width, "height": height, "deviceScaleFactor": 1,
              "mobile": width < 600})

  def run(self, script):
    """Runs a script, and returns its value."""
    return _call(f"{self._session}/execute/sync", script=script, args=[])

  def wait(self, script, seconds=10):
    """Runs a script until its value is something, and returns that."""
    end = time.monotonic() + seconds
    while not (value := self.run(script)):
      assert time.monotonic() < end, f"in vain: {script}"
      time.sleep(0.05)
    return value

  def text(self, selector):
    """Returns the visible text of the first element of a CSS selector."""
    return _call(f"{self._element(selector)}/text")

  def click(self, selector):
    _call(f"{self._element(selector)}/click", text=None)

  def type(self, selector, text):
    _call(f"{self._element(selector)}/value", text=text)

  def press(self, *keys):
    """Presses keys together, wherever the focus is."""
    down, up = ([{"type": kind, "value": key} for key in keys]
                for kind in ("keyDown", "keyUp"))
    _call(f"{self._session}/actions", actions=[
        {"type": "key", "id": "keyboard", "actions": down + up[::-1]}])

  def _element(self, selector):
    found = _call(f"{self._session}/element", using="css selector",
                  value=selector)
    return f"{self._session}/element/{found[_ELEMENT]}"


@contextlib.contextmanager
def browser(folder):
  """A `Browser`; skips the test where there is no Chromium.

  Args:
    folder: an empty one for its profile.
  """
  chromium, driver = map(shutil.which, ("chromium", "chromedriver"))
  if not (chromium and driver):
    pytest.skip("needs chromium and chromedriver: see CONTRIBUTING.md")
  process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE,
                             text=True)
  try:
    port = next(found[1] for line in process.stdout if (
        found := re.search(r"successfully on port (\d+)", line)))
    sessions = f"http://127.0.0.1:{port}/session"
    session = _call(sessions, capabilities={"alwaysMatch": {
        "goog:chromeOptions": {"binary": chromium, "args": [
            *_ARGUMENTS, f"--user-data-dir={folder}"]}}})["sessionId"]
    try:
      yield Browser(f"{sessions}/{session}")
    finally:
      _call(f"{sessions}/{session}", "DELETE")
  finally:
    process.terminate()
    process.wait()


def _call(address, method=None, /, **body):
  request = urllib.request.Request(
      address, json.dumps(body).encode() if body else None,
      {"Content-Type": "application/json"}, method=method)
  try:
    # On this machine, whatever the environment says of proxies.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
      return json.load(answer)["value"]
  except urllib.error.HTTPError as error:
    raise AssertionError(json.load(error)["value"]["message"]) from None
