"""Limits of a server: of a request, in its queue, in a batch."""

import dataclasses

from tf_adapters.errors import InputError
from tf_adapters.modeling.config import JsonConfig, check_options, option


@dataclasses.dataclass(frozen=True)
class ServerConfig(JsonConfig):
  """The limits of a server; flags have the same names, and the help.

  Raises:
    InputError: a value is out of range, or two of them contradict each other.
  """

  max_body_bytes: int = option(
      1_000_000, "Most bytes of a request's body.", least=1000, most=2**30)
  max_request_rows: int = option(
      256, "Most texts of a request, each counted once for each of its tasks.",
      least=1, most=100_000)
  max_request_tokens: int = option(
      65_536, "Most wordpieces of a request's texts together.", least=1)
  max_queue_rows: int = option(
      4096, "Most texts that wait or are computed; requests beyond that are "
      "refused with status 429. No task may take more of it than it leaves to "
      "the others.", least=1, most=1_000_000)
  max_batch_rows: int = option(
      64, "Most texts of a batch.", least=1, most=100_000)
  max_batch_tokens: int = option(
      2048, "Most wordpieces of a batch, with its padding. A GPU wants more.",
      least=1)
  max_wait_ms: float = option(
      3.0, "Milliseconds that a text waits for others while nothing is "
      "computed.", least=0, most=10_000)
  truncate: bool = option(
      False, "Cut texts that are longer than their task takes. Without it they "
      "are refused with status 413, unless the request asks to cut them.")
  task_metrics: bool = option(
      False, "Count requests of each task in /metrics, too. Thousands of tasks "
      "are too many for Prometheus.")

  def __post_init__(self) -> None:
    check_options(self)
    if self.max_request_rows > self.max_queue_rows:
      raise InputError(
          f"max_request_rows {self.max_request_rows} is more than "
          f"max_queue_rows {self.max_queue_rows}: such a request could never "
          "be taken")
