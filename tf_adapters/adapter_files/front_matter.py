"""The head of a model card, which the Hugging Face Hub reads.

https://huggingface.co/docs/hub/model-cards: YAML between two lines of "---".
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.checkpoints.hub_names import known_name
from tf_adapters.errors import InputError, first_line

_HEAD = re.compile(r"---\r?\n(.*?\r?\n)?---[ \t]*(?:\r?\n|$)", re.DOTALL)
_LIBRARY = "tf_adapters"


def front_matter(info: AdapterInfo) -> dict[str, Any]:
  """Describes an adapter file by the names of the Hugging Face Hub.

  Who wrote the file may know more: the license, the language, the datasets.
  """
  problem, method = info.problem, info.method
  values: dict[str, Any] = {"library_name": _LIBRARY}
  base = known_name(info.encoder)
  if base is not None:
    values |= {"base_model": base, "base_model_relation": "adapter"}
  if problem.pipeline_tag:
    values["pipeline_tag"] = problem.pipeline_tag
  values["tags"] = ["adapter", info.encoder_config.family,
                    *([] if method is None else [method.name])]
  if index := _model_index(info):
    values["model-index"] = index
  return values


def _model_index(info: AdapterInfo) -> list[dict[str, Any]]:
  """Returns the metrics of each split, which the Hub shows beside the card."""
  kind = info.problem.pipeline_tag
  results = [{
      "task": {"type": kind},
      # The Hub wants both; the task's name is all that is known here.
      "dataset": {"name": info.task, "type": info.task, "split": split},
      "metrics": [{"type": name, "value": float(value)}
                  for name, value in metrics.items() if math.isfinite(value)]}
      for split, metrics in info.metrics.items()]
  results = [result for result in results if result["metrics"]]
  return [{"name": info.task, "results": results}] if kind and results else []


def with_front_matter(card: str, values: Mapping[str, Any]) -> str:
  """Puts a head on a card.

  What stood in its head before stays, if `values` has not the same.

  Raises:
    InputError: what stood there is no YAML of names and values.
  """
  found = _HEAD.match(card)
  before: Any = {}
  if found is not None:
    try:
      before = yaml.safe_load(found[1] or "") or {}
    except yaml.YAMLError as error:
      raise InputError("the card's head cannot be read as YAML: "
                       f"{first_line(error)}") from None
    if not isinstance(before, Mapping):
      raise InputError("the card's head is no YAML of names and values")
    card = card[found.end():]
  head = yaml.safe_dump({**before, **values}, sort_keys=False,
                        allow_unicode=True)
  return f"---\n{head}---\n{card}"
