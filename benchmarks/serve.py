"""Measures a server of many tasks under load, beside other ways to serve.

MiniLM-L6, adapters of size 64, one text of 4 to 40 words in a request. Servers
of 1, 10, 100 and 1,000 tasks, and one of 10,000 tasks on disk with 1,000 of
them in memory, take turns: closed loops (connections that ask again as soon as
they are answered) and open ones (requests at random moments, at a part of what
one task's server can do), tasks drawn evenly or by Zipf's law. Then tasks are
added and removed under load, and peers (serve_peers.py) serve 100 tasks. Load
and server share the machine. Prints JSON, and draws a picture.

  python benchmarks/serve.py --peer_python=PEER/bin/python --picture=serve.png
  python benchmarks/serve.py --resident=1,100 --on_disk=0 --seconds=5 --rounds=1
  python benchmarks/serve.py --parts=tasks --resident=1,1000 --on_disk=10000
  python benchmarks/serve.py --soak_minutes=60

With `--soak_minutes` it does something else: see serve_soak.py.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import common
import serve_load
import serve_soak
from serve_files import KNOWN_TASKS, export, write_adapters, write_answers

TOKEN = "of the benchmark"
PEERS = ("adapterhub", "peft", "peft_mixed")
PEER_TASKS = 100
CHANGES_PER_SECOND = 5


class Server:
  """A server process.

  Args:
    command: what starts it; `--port` is added.
    log: a file for its standard error; None for this process's.
    environment: variables that it gets.
  """

  def __init__(self, *command: Any, log: str | None = None,
               **environment: str):
    with socket.socket() as probe:
      probe.bind(("127.0.0.1", 0))
      self.port = probe.getsockname()[1]
    self.started = time.perf_counter()
    with contextlib.nullcontext() if log is None else open(log, "w") as errors:
      self.process = subprocess.Popen(
          [*map(str, command), f"--port={self.port}"], stdout=sys.stderr,
          stderr=errors, env={**os.environ, **environment})

  def wait(self) -> float:
    """Seconds from its start until it is ready."""
    while True:
      if self.process.poll() is not None:
        raise RuntimeError(f"ended with {self.process.returncode}")
      with contextlib.suppress(OSError):
        if self.call("GET", "/v2/health/ready")[0] == 200:
          return time.perf_counter() - self.started
      time.sleep(0.1)

  def call(self, method: str, path: str, body: Any = None,
           ) -> tuple[int, Any, float]:
    """Status, answer and seconds of one request, with the admin's token."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", self.port, timeout=60)
    started = time.perf_counter()
    connection.request(method, path, json.dumps(body), {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    return answer.status, json.loads(content or b"null"), seconds

  def resident_mb(self) -> float:
    """Its resident memory."""
    pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text()
    return int(pages.split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

  def cpu_seconds(self) -> float:
    """Processor time that it has taken."""
    stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

  def end(self) -> None:
    """Ends it as an operator would."""
    self.process.send_signal(signal.SIGTERM)
    self.process.wait(60)


@contextlib.contextmanager
def servers(log: str | None = None,
            **commands: Sequence[Any]) -> Iterator[dict[str, Server]]:
  """Servers by name, all of them ready; `log` as for `Server`."""
  running: dict[str, Server] = {}
  try:
    for name, command in commands.items():
      # PyTorch's threads would wait by turning, and slow all others.
      running[name] = Server(*command, log=log, OMP_WAIT_POLICY="PASSIVE")
      print(name, "ready after", round(running[name].wait(), 1), "s",
            file=sys.stderr, flush=True)
    yield running
  finally:
    for server in running.values():
      server.end()


def serve_command(folder: str, **flags: Any) -> list[Any]:
  """The command line of `tf-adapters serve` on the tasks of a folder."""
  return [sys.executable, "-m", "tf_adapters", "serve",
          f"--encoder={common.ENCODER}", f"--adapters_dir={folder}",
          *(f"--{name}={value}" for name, value in flags.items())]


def token_file(beside: str) -> str:
  """A file with the administrator's token."""
  path = pathlib.Path(beside, "token")
  path.write_text(TOKEN)
  return str(path)


def linked(folder: str, count: int, beside: str) -> str:
  """A folder of links to the first adapter files of another."""
  path = pathlib.Path(beside, f"first_{count}")
  if not path.exists():  # from a part before this one
    path.mkdir(parents=True)
    for name in serve_load.names(range(count)):
      (path / name).symlink_to(pathlib.Path(folder, name).resolve())
  return str(path)


def load_case(port: int, tasks: int, spread: str, args: argparse.Namespace,
              rate: float | None = None, expected: str | None = None,
              ) -> Callable[[int], dict[str, Any]]:
  """A case of `common.in_turns`: load on a server; the round is the seed."""
  return lambda seed: common.ask(
      serve_load.load, port=port, tasks=tasks, spread=spread,
      seconds=args.seconds, seed=seed, connections=args.connections, rate=rate,
      expected=expected).answer()


def counting_loads(server: Server, case: Callable[[int], dict[str, Any]],
                   ) -> Callable[[int], dict[str, Any]]:
  """A case of load, with the server's loads and processor time meanwhile."""

  def counted(seed: int) -> dict[str, Any]:
    before = server.call("GET", "/stats")[1]
    started, cpu = time.perf_counter(), server.cpu_seconds()
    answer = case(seed)
    seconds, cpu = time.perf_counter() - started, server.cpu_seconds() - cpu
    after = server.call("GET", "/stats")[1]
    made = {name: float(after[name] - before[name]) for name in (
        "hits", "misses", "loads", "load_seconds")}
    return {**answer, **made, "loads_per_second": made["loads"] / seconds,
            "cpu_ms_per_text": 1000 * cpu / answer["codes"].get("200", 1),
            "load_ms": 1000 * made["load_seconds"] / max(1.0, made["loads"])}

  return counted


def fill(server: Server, case: Callable[[int], dict[str, Any]],
         tasks: int) -> None:
  """Repeats load until so many tasks are in memory."""
  for seed in range(100, 200):
    case(seed)
    resident = server.call("GET", "/stats")[1]["resident_tasks"]
    print(resident, "of", tasks, "tasks in memory", file=sys.stderr, flush=True)
    if resident >= tasks:
      return


def medians(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """Medians over rounds; sums of what is counted."""
  codes: dict[str, int] = {}
  for row in rows:
    for code, count in row["codes"].items():
      codes[code] = codes.get(code, 0) + count
  numbers = [key for key, value in rows[0].items()
             if isinstance(value, float)]
  return {**{key: statistics.median(row[key] for row in rows)
             for key in numbers},
          "codes": codes, "wrong": sum(row["wrong"] for row in rows)}


def by_number_of_tasks(folder: str, beside: str,
                       args: argparse.Namespace) -> dict[str, Any]:
  """Closed and open loops on servers of 1, 10, ... tasks, in turns."""
  commands = {str(count): serve_command(linked(folder, count, beside))
              for count in args.resident}
  most = max(args.resident)
  if args.on_disk:
    commands[f"{most} of {args.on_disk}"] = serve_command(
        folder, max_resident_tasks=most)
  with servers(**commands) as running:
    sizes = {name: args.on_disk if "of" in name else int(name)
             for name in running}
    spreads = {name: ["uniform"] if sizes[name] == 1
               else ["zipf"] if "of" in name else ["uniform", "zipf"]
               for name in running}
    warm = {name: load_case(server.port, sizes[name], "zipf", args)(99)
            for name, server in running.items()}
    for name in running:
      if "of" in name:
        fill(running[name],
             load_case(running[name].port, sizes[name], "zipf", args), most)
    rate = args.part * warm[min(warm, key=sizes.__getitem__)]["per_second"]
    answers = common.in_turns({
        (name, spread, loop): counting_loads(running[name], load_case(
            running[name].port, sizes[name], spread, args,
            rate if loop == "open" else None))
        for name in running for spread in spreads[name]
        for loop in ("closed", "open")}, range(args.rounds))
    memory = {name: server.resident_mb() for name, server in running.items()}
  result: dict[str, Any] = {"open_loop_rate": rate, "resident_mb": memory}
  for (name, spread, loop), rows in answers.items():
    result.setdefault(name, {}).setdefault(spread, {})[loop] = medians(rows)
  first = result[min(warm, key=sizes.__getitem__)]["uniform"]["closed"]
  for name in running:
    for loops in result[name].values():
      loops["closed"]["ratio"] = (
          loops["closed"]["per_second"] / first["per_second"])
  return result


def changes(folder: str, beside: str, expected: str,
            args: argparse.Namespace) -> dict[str, Any]:
  """Tasks are added and removed under load; answers are compared."""
  most = max(args.resident)
  outside = pathlib.Path(beside, "added")
  common.ask(write_adapters, folder=str(outside), count=1)
  path = str(next(outside.iterdir()))
  times: dict[str, list[float]] = {"add": [], "remove": []}
  with servers(all=serve_command(
      linked(folder, most, f"{beside}/changes"),
      admin_token_file=token_file(beside)),
               ) as running:
    server = running["all"]

    def change() -> None:
      for method, route, body in (
          ("POST", "/v1/adapters", {"name": "added", "path": path}),
          ("DELETE", "/v1/adapters/added", None)):
        status, answer, seconds = server.call(method, route, body)
        if status >= 300:
          raise RuntimeError(f"{method} {route}: {status} {answer}")
        times["add" if method == "POST" else "remove"].append(seconds)

    case = load_case(server.port, KNOWN_TASKS, "uniform", args,
                     expected=expected)

    def while_changing(seed: int) -> dict[str, Any]:
      with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(case, seed)
        while not found.done():
          started = time.perf_counter()
          change()
          time.sleep(max(0, 1 / CHANGES_PER_SECOND
                         - (time.perf_counter() - started)))
        return found.result()

    change()  # a kind that was not there would be traced
    times = {"add": [], "remove": []}
    answers = common.in_turns(
        {"quiet": case, "changing": while_changing}, range(args.rounds))
  result = {name: medians(rows) for name, rows in answers.items()}
  result["p99_ratio"] = (
      result["changing"]["p99_ms"] / result["quiet"]["p99_ms"])
  for name, seconds in times.items():
    result[name] = {
        "count": len(seconds),
        "median_ms": 1000 * statistics.median(seconds),
        "max_ms": 1000 * max(seconds)}
  return result


def beside_peers(folder: str, beside: str,
                 args: argparse.Namespace) -> dict[str, Any]:
  """Closed loops on this server and on the peers, 100 tasks, in turns."""
  peer = [args.peer_python, pathlib.Path(__file__).with_name("serve_peers.py")]
  tasks = f"--tasks={PEER_TASKS}"
  exported = f"{beside}/saved_model/1"
  common.ask(export, folder=folder, path=exported, tasks=PEER_TASKS)
  lora = f"{beside}/lora"
  common.ask(write_adapters, folder=lora, count=PEER_TASKS, method="lora")
  source = common.encoder_folder()
  commands = {
      "project": serve_command(linked(folder, PEER_TASKS, beside)),
      "project, LoRA": serve_command(lora),
      "saved_model": [sys.executable, peer[1], "saved_model", tasks,
                      f"--source={exported}"],
      **{name: [*peer, name, tasks, f"--source={source}"] for name in PEERS}}
  with servers(**commands) as running:
    cases = {(name, spread): load_case(server.port, PEER_TASKS, spread, args)
             for name, server in running.items()
             for spread in ("uniform", "zipf")}
    for name, server in running.items():
      print(name, load_case(server.port, PEER_TASKS, "uniform", args)(99),
            file=sys.stderr)
    answers = common.in_turns(cases, range(args.rounds))
  result: dict[str, Any] = {}
  for (name, spread), rows in answers.items():
    result.setdefault(spread, {})[name] = medians(rows)
  for found in result.values():
    best = max(found[name]["per_second"] for name in PEERS)
    for name in ("project", "project, LoRA", "saved_model"):
      found[name]["times_the_best_peer"] = found[name]["per_second"] / best
  return result


def draw(result: dict[str, Any], path: str) -> None:
  """A picture of `by_number_of_tasks`: throughput and times."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot as plt

  figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
  names = [name for name, value in result.items()
           if name == "1" or (isinstance(value, dict) and "zipf" in value)]
  for spread, style in (("uniform", "o-"), ("zipf", "s--")):
    points = {name: result[name].get(spread) or result[name].get("uniform")
              for name in names
              if spread in result[name] or name == "1"}
    left.plot(list(points), [loops["closed"]["per_second"]
                             for loops in points.values()], style,
              label=f"{spread} tasks")
  left.set_ylim(bottom=0)
  left.set(ylabel="texts a second, closed loop", xlabel="tasks in memory")
  left.legend()
  for part in (50, 95, 99):
    right.plot(names, [
        (result[name].get("zipf") or result[name]["uniform"])["open"][
            f"p{part}_ms"] for name in names], "o-", label=f"p{part}")
  right.set_ylim(bottom=0)
  right.set(ylabel="milliseconds, open loop", xlabel="tasks in memory")
  right.legend()
  for axes in (left, right):
    axes.set_xticks(range(len(names)), [
        name.replace(" of ", "\nof ") for name in names])
    axes.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  figure.savefig(path, dpi=120)


def measure() -> dict[str, Any]:
  """Asks each question."""
  parser = common.parser_of(__doc__)
  parser.add_argument("--resident", default=[1, 10, 100, 1000],
                      type=common.comma_separated(int))
  parser.add_argument("--on_disk", type=int, default=10_000)
  parser.add_argument("--seconds", type=float, default=10)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--connections", type=int, default=64)
  parser.add_argument("--part", type=float, default=0.6,
                      help="of one task's throughput: the open loop's rate")
  parser.add_argument("--parts", default=["tasks", "changes", "peers"],
                      type=common.comma_separated(
                          str, ("tasks", "changes", "peers")))
  parser.add_argument("--picture", help="a file to draw")
  parser.add_argument("--soak_minutes", type=float, default=0)
  parser.add_argument("--soak_rate", type=float, default=20,
                      help="requests a second whose answers are compared")
  parser.add_argument("--small_disk", help="a folder of a disk of 600 MB, "
                      "which the soak fills now and then")
  args = parser.parse_args()
  with tempfile.TemporaryDirectory(dir=args.small_disk) as beside:
    folder, expected = f"{beside}/adapters", f"{beside}/answers.json"
    count = KNOWN_TASKS if args.soak_minutes else max(
        *args.resident, args.on_disk, PEER_TASKS, KNOWN_TASKS)
    common.ask(write_adapters, folder=folder, count=count)
    common.ask(write_answers, folder=folder, path=expected)
    if args.soak_minutes:
      log = f"{beside}/log"
      with servers(log, all=serve_command(
          folder, max_resident_tasks=KNOWN_TASKS // 2,
          admin_token_file=token_file(beside))) as running:
        return serve_soak.soak(
            running["all"], folder, expected, args.soak_minutes,
            args.soak_rate, TOKEN, log, args.small_disk is not None)
    result: dict[str, Any] = {"load_before": os.getloadavg()}
    if "tasks" in args.parts:
      result["tasks"] = by_number_of_tasks(folder, beside, args)
      if args.picture:
        draw(result["tasks"], args.picture)
    if "changes" in args.parts:
      result["changes"] = changes(folder, beside, expected, args)
    if args.peer_python and "peers" in args.parts:
      result["peers"] = beside_peers(folder, beside, args)
  return result


if __name__ == "__main__":
  common.main(measure, write_adapters, write_answers, export, serve_load.load)
