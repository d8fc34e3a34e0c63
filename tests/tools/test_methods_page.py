"""The figures of docs/methods.md are those of the code."""

import math
import pathlib
import re

import pytest

from tf_adapters import BertConfig
from tf_adapters.checkpoints import names
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.modeling.tuning import Tuning
from tf_adapters.training.run_config import GlueRunConfig

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "methods.md"
ENCODERS = (
    BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6,
               num_attention_heads=12, intermediate_size=1536),
    BertConfig(vocab_size=30522))
ROWS = re.findall(r"^\| `(--.+?)` \| (.+?) \| (.+?) \|", PAGE.read_text(), re.M)


def size(shapes):
  return sum(map(math.prod, shapes.values()))


def run_of(flags):
  values = (flag.removeprefix("--").partition("=") for flag in flags.split())
  return GlueRunConfig(**{
      name: value if equals else True for name, equals, value in values})


@pytest.mark.parametrize("flags, trained, file", ROWS)
def test_parameters_and_file_sizes(flags, trained, file):
  run = run_of(flags)
  method = run.method_config()
  for encoder, percent, megabytes in zip(
      ENCODERS, trained.split(", "), file.split(", ")):
    base = names.shapes(encoder)
    tuned = size({
        name: shape for name, shape in base.items() if Tuning.parse(
            run.tuning).trains(name, encoder.num_hidden_layers, method)})
    added = size(method.all_shapes(encoder)) if method else 0
    saved = size(method.saved().all_shapes(encoder)) if method else 0
    head = 2 * encoder.hidden_size + 2
    assert percent == f"{100 * (tuned + added) / size(base):.2f}"
    assert megabytes == f"{4e-6 * (tuned + saved + head):.2f}"


def test_every_method_and_preset_has_a_row():
  configs = [run_of(flags).method_config() for flags, _, _ in ROWS]
  for method in METHODS.values():
    for preset in method.PRESETS or [None]:
      assert (method.preset(preset) if preset else method()) in configs
