"""The server on Ray Serve: replicas, autoscaling, tasks that change.

Each replica is a whole server, with all tasks on one encoder: a request of any
task goes to whichever replica has the least to do, and its rows share batches
with those of other tasks. Ray's own `multiplexed` would split batches by task
again, and is not used.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.applications import Starlette

from tf_adapters.errors import InputError
from tf_adapters.serving.server.application import make_application
from tf_adapters.serving.server.core import ModelServer
from tf_adapters.serving.server.folder_watch import FolderWatch, states_of
from tf_adapters.serving.server.limits import ServerConfig
from tf_adapters.serving.server.log import log

_SECONDS_BETWEEN_LOOKS = 2.0
_ARGUMENTS = ("encoder_source", "dtype", "config", "deployment")
_TASKS = ("adapters", "adapters_dir")
# Requests that a replica has at once: batches are made of them.
_ONGOING_REQUESTS = 256


class Tasks:
  """One replica. Ray makes it, with the application as `app`."""

  app: Starlette

  async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
    """Serves what a new list of tasks says; Ray calls it on every replica.

    Tasks that are not in it any more answer what they have accepted, and go.
    Those whose path is another one are replaced in one step. A file that cannot
    be taken is said in the replica's log, and its task stays as it was: a
    replica that failed here would be ended, with all its tasks.

    Args:
      user_config: {"adapters": {name: adapter file}}, or {"adapters_dir": a
        folder of adapter files, which is watched}.
    """
    state = self.app.state
    if state.watch is not None:
      state.watch.cancel()
      state.watch = state.server.served.why_absent = None
    problem = _problem(user_config)
    if problem:
      log(f"user_config: {problem}: tasks stay as they are")
    elif "adapters_dir" in user_config:
      watch = FolderWatch(state.server, user_config["adapters_dir"], {})
      await watch.look()
      await watch.look()  # a file is taken when it has not changed in between
      # What cannot be read says nothing of which tasks there are.
      with contextlib.suppress(InputError):
        await _serve_no_others(
            state.server, states_of(user_config["adapters_dir"]))
      state.watch = asyncio.create_task(watch.run(_SECONDS_BETWEEN_LOOKS))
    else:
      await _serve_these(state.server, user_config["adapters"])


async def _serve_these(server: ModelServer,
                       adapters: Mapping[str, str]) -> None:
  served = {task.name: task.path for task in server.served.all()}
  for name, path in adapters.items():
    if served.get(name) != path:
      try:
        await server.add(path, name)
      except InputError as error:
        log(str(error))
  await _serve_no_others(server, adapters)


async def _serve_no_others(server: ModelServer, names: Iterable[str]) -> None:
  for name in {task.name for task in server.served.all()}.difference(names):
    await server.remove(name)


def application(args: Mapping[str, Any]) -> Any:
  """Makes an application for `serve.run` and `serve deploy`.

  Changing tasks by requests is off: a request reaches one replica alone.
  `user_config` changes them on all.

  Args:
    args: "encoder_source" and "dtype", as for `AdapterBank`; "config", fields
      of `ServerConfig` (none); "deployment", what Ray's `serve.deployment`
      takes: "num_replicas" or "autoscaling_config", "user_config" as for
      `Tasks.reconfigure`, and so on.

  Raises:
    InputError: one of them is missing, unknown or out of range.

  Example:
    >>> serve.run(application({
    ...     "encoder_source": "bert_base_uncased",
    ...     "deployment": {"num_replicas": 2, "user_config": {
    ...         "adapters_dir": "/shared/adapters"}}}))
  """
  from tf_adapters.modeling.dtypes import check_dtype

  for name in args:
    if name not in _ARGUMENTS:
      raise InputError(f"no argument {name!r}; there is "
                       f"{', '.join(_ARGUMENTS)}")
  if "encoder_source" not in args:
    raise InputError("encoder_source is missing: say which encoder the tasks "
                     "are on")
  source = os.fspath(args["encoder_source"])
  dtype = args.get("dtype", "float32")
  check_dtype(dtype)
  config = ServerConfig(**args.get("config", {}))
  options = {"max_ongoing_requests": _ONGOING_REQUESTS, "user_config": {
      "adapters": {}}, **args.get("deployment", {})}
  problem = _problem(options["user_config"])
  if problem:
    raise InputError(f"user_config: {problem}")

  from ray import serve

  def build() -> Starlette:
    # In the replica, since neither bank nor server can be sent.
    from tf_adapters.serving.bank import AdapterBank

    server = ModelServer(AdapterBank(source, dtype=dtype), config)
    server.warm_up()
    app = make_application(server)
    app.state.server = server
    app.state.watch = None
    return app

  return serve.deployment(**options)(serve.ingress(build)(Tasks)).bind()


def _problem(user_config: Any) -> str:
  """Describes what is wrong with a list of tasks; "" for nothing."""
  if not isinstance(user_config, Mapping) or len(
      user_config) != 1 or next(iter(user_config)) not in _TASKS:
    return f"expected {' or '.join(_TASKS)}, one of them"
  adapters = user_config.get("adapters", {})
  if not isinstance(adapters, Mapping) or not all(
      isinstance(part, str) for task in adapters.items() for part in task):
    return "adapters has to say the adapter file of each task: {name: path}"
  return ""
