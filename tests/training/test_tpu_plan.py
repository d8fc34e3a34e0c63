"""Plans of runs on TPUs, with a made-up compiler."""

import dataclasses
import json
import math

import pytest
from tensorflow.compiler.xla.service import hlo_pb2

from tests.tools.calling import call
from tf_adapters.checkpoints.architecture import find_architecture
from tf_adapters.errors import InputError
from tf_adapters.tools import plan as plan_tool
from tf_adapters.training import step_programs, tpu_compiler, tpu_plan
from tf_adapters.training.accelerators import parse_accelerator
from tf_adapters.training.plan_config import PlanConfig
from tf_adapters.training.tpu_compiler import (
    Buffer,
    CompilerError,
    Program,
    explained,
    largest_buffers,
    largest_constant,
)

TINY = dict(
    vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, max_position_embeddings=64, type_vocab_size=2,
    hidden_act="gelu")
PROGRAM = Program(
    arguments=300, outputs=200, aliased=100, temporary=50, code=10,
    flops=22.5e12, bytes_accessed=700e9, seconds=1.5,
    buffers=(Buffer(8, 3, "f32[2]", "encoder/add"),))


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
  path = tmp_path_factory.mktemp("encoder") / "bert_config.json"
  path.write_text(json.dumps(TINY))
  return str(path)


def config(config_file, **values):
  return PlanConfig(**dict(
      accelerator=("v2-8",), encoder=config_file, max_seq_length=8,
      adapter_size=4, train_batch_size=16, eval_batch_size=24) | values)


def constants(hlo):
  """Sizes of a program's constants, in bytes."""
  module = hlo_pb2.HloModuleProto.FromString(hlo)
  return [instruction.literal.ByteSize()
          for computation in module.computations
          for instruction in computation.instructions
          if instruction.opcode == "constant"]


@pytest.mark.parametrize("name, replicas, topology", [
    ("v2-8", 8, "v2:2x2x1"), ("v3-32", 32, "v3:4x4x1"),
    ("v4-8", 4, "v4:2x2x1"), ("v4-32", 16, "v4:2x2x4"),
    ("v5litepod-1", 1, "v5e:1x1x1"), ("v5litepod-8", 8, "v5e:2x4x1"),
    ("v5p-128", 64, "v5p:4x4x4"), ("v6e-256", 256, "v6e:16x16x1")])
def test_slices(name, replicas, topology):
  accelerator = parse_accelerator(name)
  assert (accelerator.replicas, accelerator.topology) == (replicas, topology)
  assert math.prod(map(int, topology.partition(":")[2].split("x"))) == (
      accelerator.chips)


@pytest.mark.parametrize("name, message", [
    ("v5e-8", "did you mean v5litepod-8"), ("tpu", "TPUs are called v2-8"),
    ("v2-16", "v2- followed by 8, 32, 64"), ("v2", "v2- followed by"),
    ("v6e-2", "v6e- followed by 1, 4, 8")])
def test_slices_that_there_are_not(name, message):
  with pytest.raises(InputError, match=message):
    parse_accelerator(name)


def test_architectures_without_weights(config_file, hf_source):
  config, pooling = find_architecture("bert_large_cased")
  assert (config.num_hidden_layers, config.hidden_size) == (24, 1024)
  assert (config.num_attention_heads, config.vocab_size) == (16, 28996)
  assert pooling == "pooler"
  assert find_architecture(config_file)[0].hidden_act == "gelu_tanh"
  config, _ = find_architecture(str(hf_source / "config.json"))
  assert config == find_architecture(str(hf_source))[0]
  assert config.hidden_act == "gelu"


def test_a_run_on_slices(config_file):
  seen = []

  def compile_program(hlo, accelerator):
    seen.append((accelerator.name, b"all-reduce" in hlo))
    # Those of a mask's size would be read and kept in the program.
    assert max(constants(hlo)) < 10_000
    return PROGRAM

  plans = list(tpu_plan.plan(config(
      config_file, accelerator=("v2-8", "v5litepod-8"), largest_batch=False,
      max_seq_length=64, num_train_examples=1600, num_train_epochs=2),
                             compile_program))
  # Gradients are of all replicas, predictions of each one's rows.
  assert seen == [("v2-8", True), ("v2-8", False),
                  ("v5litepod-8", True), ("v5litepod-8", False)]
  first, second = plans
  assert (first.training.rows, first.evaluation.rows) == (2, 3)
  assert (first.training.ms_by_flops, first.training.ms_by_bytes) == (
      1000.0, 2000.0)
  assert (first.steps, first.seconds) == (200, (200.0, 400.0))
  assert second.training.ms_by_bytes == pytest.approx(700e3 / 819)
  written = json.loads(json.dumps(first.to_dict()))
  assert written["training"]["memory"] == 460
  assert written["training"]["buffers"] == [
      {"size": 8, "count": 3, "shape": "f32[2]", "operation": "encoder/add"}]
  assert written["replicas"] == 8 and written["topology"] == "v2:2x2x1"


@pytest.fixture
def untraced(monkeypatch):
  """Programs that nobody looks at."""
  for name, program in (("training", b"all-reduce"), ("evaluation", b"")):
    monkeypatch.setattr(step_programs, f"{name}_program",
                        lambda *_, program=program: program)


def test_what_the_compiler_refuses_is_told(untraced, config_file):

  def compile_program(hlo, accelerator):
    raise CompilerError("no such thing (encoder/add)")

  found, = tpu_plan.plan(config(config_file), compile_program)
  assert found.training.program is None and found.seconds is None
  assert found.evaluation.error == "no such thing (encoder/add)"
  assert found.largest_batch is None
  assert found.to_dict()["training"]["compiles"] is False


@pytest.mark.parametrize("per_row, base, rows, expected", [
    (10, 100, 4, 88),  # (1000 - 100) / 10, in eights
    (10, 100, 64, 88),
    (300, 100, 4, 3),
    (300, 100, 1, 3),
    (2000, 100, 4, 0)])
def test_the_largest_batch_is_found_with_few_compilations(
    per_row, base, rows, expected):
  asked = []

  def memory(rows):
    asked.append(rows)
    size = base + per_row * rows
    return size if size <= 1000 else None

  assert tpu_plan.largest_rows(memory, rows, 1000) == expected
  assert len(set(asked)) <= 5


def test_a_batch_that_takes_more_than_was_thought(config_file):
  def memory(rows):
    return 100 + 10 * rows if rows <= 60 else None

  assert 48 < tpu_plan.largest_rows(memory, 4, 1000) <= 60


@pytest.mark.parametrize("values, message", [
    (dict(train_batch_size=12), "train_batch_size=12: cannot be split"),
    (dict(max_seq_length=65), "max_seq_length=65: .* 64 wordpieces"),
    (dict(problem_type="regression", num_labels=3), "num_labels: regression"),
    (dict(task_name="mrpc", num_labels=3), "num_labels: the data of task"),
    (dict(prefix_cache=True), "prefix_cache: is not planned"),
    (dict(jit_compile=True), "jit_compile=True has no effect"),
    (dict(text_network=True), "text_network: is not planned")])
def test_runs_that_cannot_be(config_file, values, message):
  with pytest.raises(InputError, match=message):
    list(tpu_plan.plan(config(config_file, **values), lambda *_: PROGRAM))


def test_errors_of_the_compiler_name_operations():
  message = """RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm.
  Operator: op_name="model/encoder/layer_0/add" source_file="x.py"
  Operator: op_name="model/encoder/layer_1/add"
"""
  assert explained(message) == (
      "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. "
      "(model/encoder/layer_0/add, model/encoder/layer_1/add)")
  assert explained("") == "the compiler says nothing"


def test_buffers_are_what_a_program_writes_to_memory():
  text = """%fused (p: f32[8]) -> f32[999] {
  %c = s32[7,2]{1,0:T(8,128)} constant({...})
  ROOT %x = f32[999]{0} broadcast(%p)
}
ENTRY %main (p: f32[1000]) -> f32[8] {
  %p = f32[1000]{0:T(256)} parameter(0)
  %small = f32[8]{0} fusion(%p), kind=kLoop, calls=%fused
  %on_chip = f32[512]{0:T(256)S(1)} fusion(%p), kind=kLoop, calls=%fused
  %large = bf16[8,16]{1,0:T(8,128)(2,1)} fusion(%p), metadata={op_name="a/b"}
  %next = bf16[8,16]{1,0:T(8,128)(2,1)} fusion(%large), metadata={op_name="b"}
  ROOT %same = bf16[128]{0} bitcast(%next)
}
"""
  assert largest_buffers(text) == (
      Buffer(256, 2, "bf16[8,16]", "a/b"), Buffer(32, 1, "f32[8]", "small"))
  assert largest_constant(text) == 56 and largest_constant("") == 0


def test_the_tool(untraced, monkeypatch, config_file, tmp_path, capsys):
  programs = {True: PROGRAM, False: dataclasses.replace(PROGRAM, flops=2e12)}
  monkeypatch.setattr(tpu_compiler, "check_installed", lambda: None)
  monkeypatch.setattr(
      tpu_compiler, "compile_apart",
      lambda hlo, accelerator: programs[b"all-reduce" in hlo])
  output = tmp_path / "plan.json"
  assert call(plan_tool, "--accelerator=v2-8", f"--encoder={config_file}",
              "--max_seq_length=8", "--train_batch_size=8", "--adapter_size=4",
              "--num_train_examples=80", "--nolargest_batch",
              f"--output={output}") == 0
  shown = capsys.readouterr().out.splitlines()
  assert shown[0] == "v2-8: 8 replicas, 8 GiB each"
  assert shown[2].split() == [
      "training", "1", "x", "8", "2", "s", "0.00", "GiB", "0.0", "MB",
      "22.500", "700.00", "1000.00", "2000.00"]
  assert "  3 x 0.0 MB  f32[2]  encoder/add" in shown
  assert ("300 training steps take at least 300.0 s by FLOPs; by bytes 600.0 s"
          in shown)
  found, = json.loads(output.read_text())
  assert found["training"]["flops"] == 22.5e12
  assert found["evaluation"]["flops"] == 2e12


def test_without_the_compiler_it_is_one_line(monkeypatch, config_file, capsys):
  monkeypatch.setattr(tpu_compiler.importlib.util, "find_spec",
                      lambda name: None)
  assert call(plan_tool, "--accelerator=v2-8",
              f"--encoder={config_file}") == 1
  assert capsys.readouterr().err == (
      "error: the TPU's compiler needs jax: pip install 'tf_adapters[plan]'\n")


def test_flags_of_other_methods_are_refused(config_file, capsys):
  assert call(plan_tool, "--accelerator=v2-8", f"--encoder={config_file}",
              "--method=lora", "--adapter_size=8") != 0
  assert capsys.readouterr().err.startswith(
      "error: --adapter_size=8 has no effect with --method=lora: it is for "
      "--method=bottleneck")
