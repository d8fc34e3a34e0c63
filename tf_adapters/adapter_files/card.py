"""An adapter file in words: a summary, and its model card."""

import math
import os
import re
from collections.abc import Mapping, Sequence

from tf_adapters.adapter_files.front_matter import (
    front_matter,
    with_front_matter,
)
from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.hub_names import known_name
from tf_adapters.checkpoints.sources import is_local
from tf_adapters.errors import printable
from tf_adapters.modeling.fingerprints import in_words
from tf_adapters.modeling.tuning import kind_of

# What an example calls the adapter file, until it has another place.
THIS_FOLDER = "path/to/this/folder"
CARD_NAME = "README.md"

# What can mean something in Markdown, or HTML in it, within a line.
_MARKS = re.compile(r"([\\`*_\[\]<>&|~#!])")


def describe_adapter(path: str | os.PathLike[str],
                     labels: Sequence[str] | None = None) -> dict[str, str]:
  """Describes an adapter file for people, as label -> text.

  Reads the tensors too, so that a damaged file does not pass.

  Args:
    path, labels: as for `load_adapter`.

  Raises:
    InputError: the file cannot be read, or is damaged.
  """
  file = open_adapter(path, labels)
  return _describe(file.info, file.shapes())


def _describe(info: AdapterInfo,
              shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
  """Returns {what: value} of the configuration and the tensors' shapes."""
  rows = {"task": info.task, "problem": info.problem_type}
  if info.labels:
    rows["labels"] = ", ".join(info.labels)
  rows["tuning"] = info.tuning
  if info.changed_base:
    rows["changed beside"] = (
        f"{len(info.changed_base)} tensors of the encoder")
  for key, value in (info.adapter or {}).items():
    if value is not None:
      rows[f"adapter {key}"] = str(value)
  if info.pairs is not None:
    rows["texts"] = "pairs" if info.pairs else "single ones"
  rows |= {
      "pooling": info.pooling,
      "longest text": f"{info.max_length or 'unknown'} wordpieces",
      "encoder": str(info.encoder["source"]),
      **{f"encoder {name}": value
         for name, value in in_words(info.encoder).items()},
  }
  counts: dict[str, int] = {}
  for name, shape in shapes.items():
    counts[kind_of(name)] = counts.get(kind_of(name), 0) + math.prod(shape)
  for kind, count in counts.items():
    rows[f"parameters, {kind}"] = f"{count:,}"
  for key, value in (info.span or {}).items():
    rows[f"span {key}"] = str(value)
  for split, values in info.metrics.items():
    for name, value in values.items():
      rows[f"{split} {name}"] = f"{value:.4f}"
  return rows | dict(info.versions)


def model_card(info: AdapterInfo, shapes: Mapping[str, tuple[int, ...]]) -> str:
  """Writes the model card: Markdown, where names and labels are text alone.

  Behind a head that the Hugging Face Hub reads.
  """
  encoder = _encoder(info)
  rows = {**_describe(info, shapes), "encoder": encoder}
  return with_front_matter("\n".join([
      f"# {_escaped(info.task)}",
      "",
      f"Weights of one task ({info.problem_type}) for the encoder "
      f"{_escaped(encoder)}, tuned with "
      f"{_escaped(info.tuning)}.",
      "",
      "```python",
      "import tf_adapters as ta",
      f"task = ta.TextTask.load(\"{THIS_FOLDER}\")     # task.predict(texts)",
      f"model = ta.load_adapter(\"{THIS_FOLDER}\")  # the Keras model",
      "```",
      "",
      "| | |",
      "|---|---|",
      *(f"| {_escaped(key)} | {_escaped(value)} |"
        for key, value in rows.items()),
      "",
  ]), front_matter(info))


def _encoder(info: AdapterInfo) -> str:
  """Names the encoder for a card, whose readers have no such folder."""
  source: str = info.encoder["source"]
  if not is_local(source):
    return source
  return known_name(info.encoder) or (
      f"{os.path.basename(source.rstrip('/'))} (a folder)")


def _escaped(text: str) -> str:
  """Writes a text in one line that Markdown shows as it is."""
  return _MARKS.sub(r"\\\1", printable(text))
