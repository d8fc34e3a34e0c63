"""A server of many tasks for a long time, with faults on.

Texts whose answers are known are asked for at random moments. Meanwhile other
clients do what they should not (serve_faults.py), adapter files come, are
damaged, mended and go (serve_damage.py), and every minute the disk of these
files and of the server's log is full for a while, if it is a small one. At the
end the server is told to end while it is asked. Counted are wrong answers,
requests that were lost, answers with a status that a fault should not have,
lines of the log, and the server's memory. `serve.py --soak_minutes` calls it.
"""

import asyncio
import contextlib
import itertools
import pathlib
import random
import signal
import statistics
import sys
import time
from collections import Counter
from typing import Any

import serve_load
from serve_damage import Damage
from serve_faults import ALLOWED, FAULTS

CONNECTIONS = 16  # that ask when the server is told to end
MOST_ASKED = 64  # requests at a time, on a machine that is too slow
SAMPLE_SECONDS = 5.0
# Of a fault: seconds between two of a kind, on average.
SECONDS_BETWEEN_FAULTS = 2.0
SECONDS_BETWEEN_LARGE = 60.0
# Seconds of each minute in which the disk is full.
FULL_DISK = range(20, 30)
_READ_ROUTES = ("/metrics", "/stats", "/v1/models", "/")


async def _faults(name: str, port: int, known: list[serve_load.Request],
                  seen: Counter[str], end: float) -> None:
  rate = 1 / (SECONDS_BETWEEN_LARGE if name == "large_body"
              else SECONDS_BETWEEN_FAULTS)
  while time.monotonic() < end:
    await asyncio.sleep(min(random.expovariate(rate),
                            max(0.0, end - time.monotonic())))
    try:
      found = await FAULTS[name](port, random.choice(known))
    except OSError as error:
      found = type(error).__name__
    seen[f"{'' if found in ALLOWED[name] else 'unexpected: '}{name}: {found}"
         ] += 1


async def _full_disk(folder: pathlib.Path, seen: Counter[str],
                     end: float) -> None:
  """The disk of a folder is full for some seconds of each minute."""
  started, filler = time.monotonic(), folder / "filler"
  while time.monotonic() < end:
    is_full = int(time.monotonic() - started) % 60 in FULL_DISK
    if is_full and not filler.exists():
      await asyncio.to_thread(_fill, filler)
      seen["full disk"] += 1
    elif not is_full:
      filler.unlink(missing_ok=True)
    await asyncio.sleep(1)
  filler.unlink(missing_ok=True)


def _fill(filler: pathlib.Path) -> None:
  """Writes until there is no space left."""
  with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
    while True:
      file.write(bytes(1_000_000))


async def _readers(port: int, seen: Counter[str], end: float) -> None:
  """Somebody looks at figures and at the list of tasks."""
  connection = serve_load.Connection(port)
  for path in itertools.cycle(_READ_ROUTES):
    if time.monotonic() >= end:
      return
    try:
      status, _ = await connection.ask(
          serve_load.post(path, None, "GET"))
    except (OSError, asyncio.IncompleteReadError) as error:
      seen[f"unexpected: GET {path}: {type(error).__name__}"] += 1
    else:
      seen[f"{'' if status == 200 else 'unexpected: '}GET {path}: {status}"
           ] += 1
    await asyncio.sleep(3)


async def _samples(server: Any, tally: serve_load.Tally,
                   samples: list[dict[str, float]], end: float) -> None:
  started = time.monotonic()
  fds = pathlib.Path(f"/proc/{server.process.pid}/fd")
  while time.monotonic() < end:
    samples.append({
        "minute": (time.monotonic() - started) / 60,
        "mb": server.resident_mb(), "files": len(list(fds.iterdir()))})
    print(f"{samples[-1]} {sum(tally.codes.values())} requests "
          f"{dict(tally.codes)} {len(tally.wrong)} wrong", file=sys.stderr,
          flush=True)
    await asyncio.sleep(SAMPLE_SECONDS)


async def _end_under_load(
    server: Any, known: list[serve_load.Request],
    tally: serve_load.Tally) -> None:
  """SIGTERM while every connection waits for an answer."""
  stop = time.monotonic() + 5

  async def one() -> None:
    connection = serve_load.Connection(server.port)
    while time.monotonic() < stop:
      request = random.choice(known)
      try:
        status, body = await connection.ask(request.bytes())
      except ConnectionRefusedError:
        tally.codes["refused"] += 1
        return
      except asyncio.IncompleteReadError as error:
        # Closed before the first byte: the connection was idle for the server.
        tally.codes["closed" if not error.partial else "half"] += 1
        return
      except OSError:
        tally.codes["closed"] += 1
        return
      tally.count(request, status, body, 0.0)
      if status == 503:
        return

  asking = [asyncio.create_task(one()) for _ in range(CONNECTIONS)]
  await asyncio.sleep(1)
  server.process.send_signal(signal.SIGTERM)
  await asyncio.gather(*asking)


def _by_minute(samples: list[dict[str, float]]) -> dict[str, Any]:
  """Means of each minute; of the first and the last ten minutes."""
  minutes = [[sample["mb"] for sample in of_one] for _, of_one in
             itertools.groupby(samples, lambda one: int(one["minute"]))]
  means = [statistics.fmean(one) for one in minutes]
  return {"by_minute": [round(mean) for mean in means],
          "at_start": samples[0]["mb"],
          "first_ten_minutes": statistics.fmean(means[:10]),
          "last_ten_minutes": statistics.fmean(means[-10:]),
          "open_files": [samples[0]["files"], samples[-1]["files"]]}


def _log(path: pathlib.Path, folder: pathlib.Path,
         damage: Damage) -> dict[str, Any]:
  """Counts the lines that the server has written."""
  lines = path.read_text(errors="replace").splitlines()
  of_files = [line for line in lines if line.startswith(str(folder))]
  of_each = Counter(
      name for line in of_files for name in damage.damaged
      if line.startswith(f"{folder / name}:") or line.startswith(
          f"{folder / name}/"))
  return {
      "lines": len(lines), "on_files": len(of_files),
      "times_damaged": sum(damage.damaged.values()),
      "damaged_without_a_line": len(damage.damaged.keys() - of_each.keys()),
      "most_lines_on_a_file": max(of_each.values(), default=0),
      "traces": sum(line.startswith("Traceback") for line in lines),
      "others": [line for line in lines if line not in of_files][:20]}


async def _soak(server: Any, folder: pathlib.Path, expected: str,
                seconds: float, rate: float, token: str, log: pathlib.Path,
                is_small: bool) -> dict[str, Any]:
  known, problem = serve_load.checker(expected)
  tally, ending = serve_load.Tally(problem), serve_load.Tally(problem)
  seen: Counter[str] = Counter()
  samples: list[dict[str, float]] = []
  first = [request for request in known if request.task == known[0].task]
  damage = Damage(server.port, folder, token, first, problem)
  end = time.monotonic() + seconds
  tasks = list(dict.fromkeys(request.task for request in known))
  by_task = {task: [request for request in known if request.task == task]
             for task in tasks}
  asked = (random.choice(by_task[one.task]) for one in serve_load.requests(
      tasks, "zipf", [""], seed=0))
  started = time.monotonic()
  await asyncio.gather(
      serve_load.open_loop(server.port, asked, tally, rate, seconds,
                           most=MOST_ASKED),
      *(_faults(name, server.port, known, seen, end) for name in FAULTS),
      damage.run(lambda: time.monotonic() >= end - 60),
      *([_full_disk(folder.parent, seen, end)] if is_small else []),
      _readers(server.port, seen, end), _samples(server, tally, samples, end))
  took = time.monotonic() - started
  _, figures, _ = await asyncio.to_thread(server.call, "GET", "/stats")
  await _end_under_load(server, known, ending)
  lost = {code: count for code, count in tally.codes.items()
          if not code.isdigit()}
  return {
      "minutes": took / 60, **tally.summary(took),
      "requests": sum(tally.codes.values()),
      "answers_compared": tally.codes["200"],
      "lost": sum(lost.values()),
      "faults": dict(sorted(seen.items())),
      "files": dict(sorted(damage.seen.items())),
      "wrong_of_files": damage.wrong,
      "unexpected": {key: count for key, count in (seen + damage.seen).items()
                     if key.startswith("unexpected")},
      "memory_mb": _by_minute(samples),
      "server": {name: figures[name] for name in (
          "loads", "evictions", "resident_tasks", "known_tasks")},
      "sigterm": {**dict(ending.codes), "wrong": len(ending.wrong),
                  "ended_with": await asyncio.to_thread(
                      server.process.wait, 60)},
      "log": _log(log, folder, damage)}


def soak(server: Any, folder: str, expected: str, minutes: float, rate: float,
         token: str, log: str, is_small: bool) -> dict[str, Any]:
  """Runs the soak for so many minutes, and returns its counts.

  Args:
    server: a `serve.Server`, which is ended.
    folder: that it watches.
    expected: as for `serve_load.checker`.
    minutes: how long.
    rate: requests a second whose answers are compared.
    token: the administrator's.
    log: the file of the server's standard error.
    is_small: whether the disk of the folder can be filled.
  """
  return asyncio.run(_soak(
      server, pathlib.Path(folder), expected, 60 * minutes, rate, token,
      pathlib.Path(log), is_small))
