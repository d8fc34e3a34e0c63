"""Metrics of a server, for Prometheus."""

from collections.abc import Callable, Container, Iterator, Mapping

import prometheus_client as prometheus
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tf_adapters.serving.bank_texts import BASE
from tf_adapters.serving.server.observer import BatchFigures

_SECONDS = (.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = tuple(32 * 2**step for step in range(12))
# What `ModelServer.figures` has of it -> what it is.
_FIGURES = {
    "queue_rows": (GaugeMetricFamily, "Texts that wait or are computed"),
    "resident_tasks": (GaugeMetricFamily, "Tasks in memory"),
    "known_tasks": (GaugeMetricFamily, "Tasks that are served"),
    "hits": (CounterMetricFamily, "Tasks that a request found in memory"),
    "misses": (CounterMetricFamily, "Tasks that a request had to wait for"),
    "loads": (CounterMetricFamily, "Tasks that were read into memory"),
    "evictions": (CounterMetricFamily, "Tasks that made room for others"),
    "load_seconds": (CounterMetricFamily, "Of all loads together"),
}


class Metrics(Collector):
  """An `Observer` that Prometheus can read.

  Args:
    figures: `ModelServer.figures`.
    of_tasks: whether texts are counted for each task, too.
    tasks: those that there are; beside "base" no others are kept.
  """

  def __init__(self, figures: Callable[[], Mapping[str, float | None]],
               of_tasks: bool, tasks: Container[str]):
    self._figures = figures
    self._tasks = tasks
    self._counted: set[str] = set()
    self._registry = registry = prometheus.CollectorRegistry()
    self._requests = prometheus.Counter(
        "tf_adapters_requests", "Requests", ["code"], registry=registry)
    self._seconds = prometheus.Histogram(
        "tf_adapters_request_seconds", "From a request's arrival to its answer",
        registry=registry, buckets=_SECONDS)
    self._stages = prometheus.Histogram(
        "tf_adapters_stage_seconds",
        "Of a text in the queue; of texts that are tokenised, of batches that "
        "are computed", ["stage"], registry=registry, buckets=_SECONDS)
    self._batch = {
        name: prometheus.Histogram(
            f"tf_adapters_batch_{name}", what, registry=registry,
            buckets=buckets)
        for name, what, buckets in (
            ("rows", "Texts of a batch", _COUNTS),
            ("tokens", "Wordpieces of a batch, with its padding", _TOKENS),
            ("tasks", "Different tasks of a batch", _COUNTS))}
    self._rows = prometheus.Counter(
        "tf_adapters_task_rows", "Texts that were answered", ["task"],
        registry=registry) if of_tasks else None
    registry.register(self)

  def text(self) -> bytes:
    """Writes all of it down, in Prometheus' text format."""
    if self._rows is not None:
      for task in [*self._counted]:
        if task != BASE and task not in self._tasks:
          self._counted.discard(task)
          self._rows.remove(task)
    return prometheus.generate_latest(self._registry)

  def collect(self) -> Iterator[Metric]:
    """Looks up the figures that are read only when they are asked for."""
    figures = self._figures()
    for name, (kind, what) in _FIGURES.items():
      yield kind(f"tf_adapters_{name}", what, figures[name])

  def describe(self) -> Iterator[Metric]:
    """Yields the names of `collect`, which are not looked up for that."""
    for name, (kind, what) in _FIGURES.items():
      yield kind(f"tf_adapters_{name}", what)

  def request(self, status: int) -> None:
    """Counts a request, of any route, that was answered."""
    self._requests.labels(str(status)).inc()

  def tokenized(self, rows: int, seconds: float) -> None:
    del rows
    self._stages.labels("tokenize").observe(seconds)

  def computed(self, batch: BatchFigures) -> None:
    self._stages.labels("compute").observe(batch.seconds)
    for wait in batch.waits:
      self._stages.labels("queue").observe(wait)
    for name, histogram in self._batch.items():
      histogram.observe(getattr(batch, name))

  def answered(self, tasks: Mapping[str, int], status: int,
               seconds: float) -> None:
    if status == 200:
      self._seconds.observe(seconds)
      if self._rows is not None:
        for task, rows in tasks.items():
          self._rows.labels(task).inc(rows)
          self._counted.add(task)
