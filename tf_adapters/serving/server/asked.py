"""Texts that a server is asked about and its answers, in any protocol."""

import dataclasses
from typing import Any

from tf_adapters.adapter_files.info import AdapterInfo
from tf_adapters.problems.prediction import Prediction


@dataclasses.dataclass(frozen=True)
class Columns:
  """A text as a row of a SavedModel has it.

  Attributes:
    text: the text, or the first one of a pair.
    text_pair: the second one; an empty one is none, unless the task is on
      pairs.
  """

  text: str
  text_pair: str

  def text_for(self, info: AdapterInfo | None) -> str | tuple[str, str]:
    """Returns the text as a task takes it, with its `info`."""
    if self.text_pair or (info is not None and info.takes_pairs):
      return self.text, self.text_pair
    return self.text


Text = str | tuple[str, str] | Columns


@dataclasses.dataclass(frozen=True)
class Answer:
  """The answer to a text: a prediction.

  Attributes:
    prediction: that.
    info: what the file of the task that predicted it says; None for the encoder
      alone.
  """

  prediction: Prediction[Any, Any]
  info: AdapterInfo | None


@dataclasses.dataclass(frozen=True)
class ServedTask:
  """A task, as callers see it.

  Attributes:
    name: what it is called.
    info: what its file says.
    path: where its file is; "" where that is not known.
  """

  name: str
  info: AdapterInfo
  path: str
