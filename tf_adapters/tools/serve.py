"""Serve many tasks on one encoder over HTTP, in batches across tasks.

Examples:
  tf-adapters serve --encoder=bert_base_uncased --adapters_dir=adapters
  tf-adapters serve --adapter=topic=runs/news/adapter,spam=runs/sms/adapter \\
      --host=0.0.0.0 --port=80

Each folder in --adapters_dir that is an adapter file is a task, called as the
folder is. One that appears is served, one that changes takes the place of the
old one, one that goes is served no more. Without --encoder it is the one of the
first adapter.

  curl localhost:8080/models/topic -d '{"inputs": "a moving film"}'

docs/reference/server.md lists the routes; / is a page to try texts on. SIGTERM
ends it when all accepted requests are answered. Needs pip install
'tf_adapters[serve]'.
"""

import importlib
import os
import pathlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from absl import flags

from tf_adapters.adapter_files.info import find_encoder_source
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.errors import InputError, listed
from tf_adapters.files.reading import read_file
from tf_adapters.serving.adapter_folder import lacking
from tf_adapters.serving.server.limits import ServerConfig
from tf_adapters.serving.server.log import log
from tf_adapters.tools import _command, _flags
from tf_adapters.training.run_config import RunConfig

if TYPE_CHECKING:
  from tf_adapters.serving.bank import AdapterBank

_PACKAGES = ("starlette", "uvicorn", "prometheus_client")
_SHORTEST_TOKEN = 16

_flags.define(RunConfig, *_flags.ENCODER, "mixed_precision")
_flags.define(ServerConfig)
_flags.use("adapter")
flags.DEFINE_string(
    "adapters_dir", None, "Folder of adapter files, which is watched.")
flags.DEFINE_integer(
    "max_resident_tasks", None, "Tasks of --adapters_dir in memory at a time: "
    "one is loaded when a request needs it, and one that was used least goes. "
    "(all, from the start)", lower_bound=1)
flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on; 0.0.0.0 for every machine that "
    "can reach this one.")
flags.DEFINE_integer(
    "port", 8080, "Port to listen on; 0 for any that is free.", lower_bound=0,
    upper_bound=65535)
flags.DEFINE_string(
    "admin_token_file", None, "File with a token, which requests must send to "
    "add, replace and remove tasks. Without it they cannot.")
flags.DEFINE_integer(
    "drain_seconds", 30, "Seconds after SIGTERM to answer accepted requests.",
    lower_bound=0)


def _serve() -> None:
  values = flags.FLAGS
  config = _flags.read(ServerConfig)
  _check_packages()
  token = _token(values.admin_token_file)
  if values.adapter is None and values.adapters_dir is None:
    raise InputError("--adapters_dir or --adapter must be given")
  if values.max_resident_tasks is not None and values.adapters_dir is None:
    raise InputError("--max_resident_tasks: for --adapters_dir only")
  _flags.check_encoder()
  from tf_adapters.serving.server import folder_watch, running
  named = _named(_flags.adapters()) if values.adapter else {}
  states = {} if values.adapters_dir is None else (
      folder_watch.states_of(values.adapters_dir))
  in_folder = {name: os.fspath(pathlib.Path(values.adapters_dir) / name)
               for name in states}
  for name in named.keys() & in_folder.keys():
    raise InputError(f"--adapter: task {name} is in {values.adapters_dir}, "
                     "too: give it another name, NAME=PATH")
  encoder = values.encoder or _encoder_of({**named, **in_folder})
  found = running.listen(values.host, values.port)
  count = len(named) if values.max_resident_tasks is not None else (
      len(named) + len(in_folder))
  log(f"loading the encoder and {count:,} task{'s' * (count != 1)} ...")
  # What comes now imports TensorFlow, which takes seconds.
  from tf_adapters.serving.bank import AdapterBank
  from tf_adapters.serving.server.application import make_application
  from tf_adapters.serving.server.core import ModelServer
  most = values.max_resident_tasks
  bank = AdapterBank(
      encoder, named, values.vocab_file, values.do_lower_case,
      capacity=most and most + len(named),
      store=None if most is None else values.adapters_dir,
      dtype=_flags.bank_dtype())
  wrong = (_take_in(bank, in_folder) if most is None
           else _incomplete(in_folder))
  for error in wrong.values():
    log(f"warning: {error}")
  if most is None:
    named |= in_folder
  server = ModelServer(bank, config, named)
  server.warm_up()
  log(f"{running.address_of(found)} serves {_listed(bank.names())}",
      error=False)
  running.run(
      make_application(server, token), server, found, values.drain_seconds,
      folder_watch.FolderWatch(server, values.adapters_dir, states, wrong)
      if values.adapters_dir is not None else None)


def _named(adapters: Iterable[tuple[str | None, str]]) -> dict[str, str]:
  """Returns {task: adapter file}; a name that is not given is in the file."""
  named: dict[str, str] = {}
  for given, path in adapters:
    name = given or open_adapter(path).info.task
    if name in named:
      raise InputError(f"--adapter: {named[name]} and {path} are both of task "
                       f"{name}: give one another name, NAME=PATH")
    named[name] = path
  return named


def _take_in(bank: "AdapterBank",
             in_folder: dict[str, str]) -> dict[str, InputError]:
  """Takes in the tasks of a folder, except for files that cannot be read.

  Returns:
    {name: what is wrong} of these.
  """
  wrong = _incomplete(in_folder)
  whole = {name: path for name, path in in_folder.items() if name not in wrong}
  try:
    bank.extend(list(whole.items()))  # together, which takes less time
  except InputError:
    for name, path in whole.items():
      try:
        bank.add(path, name)
      except InputError as error:
        wrong[name] = error
  return wrong


def _incomplete(in_folder: dict[str, str]) -> dict[str, InputError]:
  return {name: problem for name, path in in_folder.items()
          if (problem := lacking(path)) is not None}


def _listed(names: list[str]) -> str:
  if not names:
    return "no task yet"
  return f"{len(names):,} task{'s' * (len(names) != 1)}: {listed(names)}"


def _encoder_of(adapters: dict[str, str]) -> str:
  wrong: InputError | None = None
  for path in adapters.values():
    try:
      return find_encoder_source(path, open_adapter(path).info)
    except InputError as error:  # others can be read, perhaps
      wrong = wrong or error
  raise wrong or InputError(
      f"--encoder must be given: {flags.FLAGS.adapters_dir} has no adapter "
      "file that says it")


def _check_packages() -> None:
  for package in _PACKAGES:
    try:
      importlib.import_module(package)
    except ImportError:
      raise InputError(f"needs the package {package.replace('_', '-')}: pip "
                       "install 'tf_adapters[serve]'") from None


def _token(path: str | None) -> str | None:
  """Reads the admin token that a file holds; None without a file.

  Raises:
    InputError: it cannot be read, or is too short.
  """
  if path is None:
    return None
  try:
    token = read_file(pathlib.Path(path)).decode().strip()
  except UnicodeDecodeError:
    token = ""
  if not (len(token) >= _SHORTEST_TOKEN and token.isascii()
          and token.isprintable()):
    raise InputError(
        f"{path}: has to hold a text of at least {_SHORTEST_TOKEN} printable "
        "characters of ASCII, such as `openssl rand -hex 32` writes")
  return token


def main() -> None:
  """Runs `tf-adapters serve`."""
  _command.run(sys.modules[__name__], _serve)
