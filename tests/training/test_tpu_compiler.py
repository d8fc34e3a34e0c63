"""The TPU's own compiler takes the steps: needs pip install -e '.[plan]'."""

import itertools
import json
import pathlib

import numpy as np
import pytest

from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.problems import PROBLEMS
from tf_adapters.training import tpu_compiler, tpu_plan
from tf_adapters.training.plan_config import PlanConfig

pytestmark = pytest.mark.slow
pytest.importorskip("jax")
pytest.importorskip("libtpu")

FAMILIES = pathlib.Path(__file__).parents[1] / "checkpoints" / "families"
SMALL = dict(adapter_size=4, lora_rank=2, prefix_length=3,
             prefix_bottleneck_size=4, compacter_size=4)
GIB = 2**30


def cases():
  """All families, methods and types of problem, each at least once."""
  families = sorted(path.stem for path in FAMILIES.glob("*.npz"))
  methods = itertools.cycle([*METHODS, "full"])
  for family, method, problem in zip(
      families, methods, itertools.cycle(PROBLEMS)):
    if family == "mobilebert" and method in ("ia3", "lora"):
      method = "bottleneck"
    yield pytest.param(
        family, method, problem, id=f"{family}-{method}-{problem}")


def compiled(config):
  """{accelerator: plan}, and the programs' HLO."""
  programs = []

  def compile_program(hlo, accelerator):
    programs.append(hlo)
    return tpu_compiler.compile_program(hlo, accelerator)

  return {found.accelerator.name: found
          for found in tpu_plan.plan(config, compile_program)}, programs


@pytest.mark.parametrize("family, method, problem", cases())
def test_it_compiles(tmp_path, family, method, problem):
  config = json.loads(str(np.load(FAMILIES / f"{family}.npz")["config"]))
  path = tmp_path / "config.json"
  path.write_text(json.dumps(config))
  tuning = dict(tuning="full") if method == "full" else dict(method=method)
  plans, _ = compiled(PlanConfig(
      accelerator=("v2-8", "v5litepod-8"), encoder=str(path), max_seq_length=8,
      train_batch_size=8, eval_batch_size=8, problem_type=problem,
      mixed_precision="bfloat16", remat=method == "bottleneck",
      largest_batch=False, **SMALL, **tuning))
  for found in plans.values():
    for step in (found.training, found.evaluation):
      assert step.error is None
      assert step.program.flops > 0 and step.program.bytes_accessed > 0
      assert 0 < step.program.memory < found.accelerator.generation.memory


def test_masks_are_no_constants(tmp_path):
  """XLA makes constants of what it knows, below 10 MB."""
  path = tmp_path / "config.json"
  path.write_text(json.dumps(dict(
      vocab_size=30, hidden_size=128, num_hidden_layers=1,
      num_attention_heads=4, intermediate_size=256, max_position_embeddings=128,
      type_vocab_size=2, hidden_act="gelu")))
  plans, programs = compiled(PlanConfig(
      accelerator=("v5litepod-1",), encoder=str(path), max_seq_length=128,
      train_batch_size=16, eval_batch_size=16, mixed_precision="bfloat16",
      pooling="mean", largest_batch=False, **SMALL))
  assert plans["v5litepod-1"].training.program.largest_constant < 100_000
  assert all(len(hlo) < 2_000_000 for hlo in programs)


def test_products_of_products(tmp_path):
  """LoRA of queries, for which the compiler's threads had too little stack."""
  path = tmp_path / "config.json"
  path.write_text(json.dumps(dict(
      vocab_size=30, hidden_size=384, num_hidden_layers=1,
      num_attention_heads=6, intermediate_size=256,
      max_position_embeddings=128, type_vocab_size=2, hidden_act="gelu")))
  found, = tpu_plan.plan(PlanConfig(
      accelerator=("v5litepod-1",), encoder=str(path), max_seq_length=128,
      train_batch_size=32, eval_batch_size=8, mixed_precision="bfloat16",
      method="lora", pooling="mean", largest_batch=False),
      tpu_compiler.compile_apart)
  assert found.training.error is None and found.evaluation.error is None
