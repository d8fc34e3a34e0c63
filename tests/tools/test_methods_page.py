"""The figures of docs/guides/methods.md are those of the code."""

import math
import pathlib
import re

import pytest

from tf_adapters import BertConfig
from tf_adapters.checkpoints import names
from tf_adapters.modeling.learning_rates import LEARNING_RATES
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.modeling.stacked import TaskArrays
from tf_adapters.modeling.tuning import Tuning
from tf_adapters.training.run_config import GlueRunConfig

PAGE = pathlib.Path(__file__).parents[2] / "docs/guides/methods.md"
ENCODERS = (
    BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6,
               num_attention_heads=12, intermediate_size=1536),
    BertConfig(vocab_size=30522))
ROWS = re.findall(
    r"^\| `(--.+?)` \| (.+?) \| (.+?) \| (.+?) \| .+? \| (.+?) \|$",
    PAGE.read_text(), re.M)


def size(shapes):
  return sum(map(math.prod, shapes.values()))


def run_of(flags):
  values = (flag.removeprefix("--").partition("=") for flag in flags.split())
  return GlueRunConfig(**{
      name: value if equals else True for name, equals, value in values})


@pytest.mark.parametrize("flags, trained, file, in_bank, rates", ROWS)
def test_sizes_and_learning_rates(flags, trained, file, in_bank, rates):
  run = run_of(flags)
  method, tuning = run.method_config(), Tuning.parse(run.tuning)
  for encoder, percent, megabytes, stacked in zip(
      ENCODERS, trained.split(", "), file.split(", "),
      ["-", "-"] if in_bank == "-" else in_bank.split(", "), strict=True):
    base = names.shapes(encoder)
    tuned = {name: shape for name, shape in base.items() if tuning.trains(
        name, encoder.num_hidden_layers, method)}
    added = size(method.all_shapes(encoder)) if method else 0
    head = {"head/kernel": (encoder.hidden_size, 2), "head/bias": (2,)}
    saved = {**(method.saved().all_shapes(encoder) if method else {}),
             **tuned, **head}
    assert percent == f"{100 * (size(tuned) + added) / size(base):.2f}"
    assert megabytes == f"{4e-6 * size(saved):.2f}"
    if tuning.trains_base():
      assert stacked == "-"  # no bank has it
      continue
    task = TaskArrays(encoder, method and method.saved(), "mean", saved, dict)
    assert stacked == f"""{4e-6 * size({
        (key.name, table.name): table.shape for key in task.stack_keys()
        for table in key.tables}):.2f}"""
  wide, small = (method.learning_rates if tuning.method == "adapters"
                 else LEARNING_RATES[tuning.method])
  assert [float(rate) for rate in rates.split(", ")] == [small, wide]


def test_every_method_and_preset_has_a_row():
  configs = [run_of(flags).method_config() for flags, *_ in ROWS]
  assert len(configs) == 18
  for method in METHODS.values():
    for preset in method.PRESETS or [None]:
      assert (method.preset(preset) if preset else method()) in configs
