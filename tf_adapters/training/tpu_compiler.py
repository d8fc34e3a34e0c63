"""The TPU's own compiler, on a machine without a TPU.

libtpu, from PyPI, holds it; JAX hands out the topology of any slice, and
compiles for it. What it is given is the HLO that TensorFlow makes of a step.
"""

import dataclasses
import importlib.util
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.training.accelerators import Accelerator
from tf_adapters.training.own_process import ProcessCrashed, call_apart

_SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2,
          "f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
# `%name = bf16[32,128]{1,0:T(8,128)(2,1)} fusion(%a, %b), metadata={...}`
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?(?P<name>[\w.-]+) = (?P<type>\w+)\[(?P<dims>[\d,]*)\]"
    r"(?:\{(?P<layout>[^}]*)\})? (?P<kind>[\w-]+)\(")
_OPERATION = re.compile(r'op_name="([^"]+)"')
# What takes no memory of its own.
_NO_BUFFERS = ("parameter", "bitcast", "get-tuple-element", "tuple", "constant")
_MOST_BUFFERS = 8
# Its threads have 64 kB of stack, which is too little for LoRA of queries on
# v5e: it looks into products that are joined to products.
_STACK = "--fibers_default_thread_stack_size"
_STACK_BYTES = 1 << 20


class CompilerError(Exception):
  """The compiler does not take a program: its message says what and where."""


@dataclasses.dataclass(frozen=True)
class Buffer:
  """Memory of one shape that a program writes while it runs.

  Attributes:
    size: in bytes, without padding.
    count: how many there are, one for each layer for instance.
    shape: such as "bf16[32,128]".
    operation: of the model, which makes the first of them.
  """

  size: int
  count: int
  shape: str
  operation: str


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled step, of one device: its costs by the compiler.

  Attributes:
    arguments, outputs, aliased, temporary, code: bytes of memory. What is
      aliased is counted among arguments and outputs.
    flops: floating-point operations.
    bytes_accessed: what operations read and write.
    seconds: that it took to compile.
    buffers: those that take most; see `largest_buffers`.
    largest_constant: bytes of the largest constant in the program.
  """

  arguments: int
  outputs: int
  aliased: int
  temporary: int
  code: int
  flops: float
  bytes_accessed: float
  seconds: float
  buffers: tuple[Buffer, ...] = ()
  largest_constant: int = 0

  @property
  def memory(self) -> int:
    """Bytes of the device's memory that a step takes."""
    return (self.arguments + self.outputs - self.aliased + self.temporary
            + self.code)


def check_installed() -> None:
  """Refuses to go on without the compiler.

  Raises:
    InputError: JAX or libtpu is missing.
  """
  for name in ("jax", "libtpu"):
    if importlib.util.find_spec(name) is None:
      raise InputError(
          f"the TPU's compiler needs {name}: pip install 'tf_adapters[plan]'")


def compile_apart(hlo: bytes, accelerator: Accelerator) -> Program:
  """Compiles as `compile_program` does, in a process of its own.

  Where the compiler crashes, that is a CompilerError.
  """
  try:
    return call_apart(compile_program, hlo, accelerator)
  except ProcessCrashed as error:
    raise CompilerError(f"it crashed ({error})") from None


def compile_program(hlo: bytes, accelerator: Accelerator) -> Program:
  """Compiles a step for all replicas of a slice.

  Args:
    hlo: serialized, as `tf.function`'s `experimental_get_compiler_ir` gives it.
    accelerator: the slice.

  Raises:
    InputError: JAX or libtpu is missing, or knows no such slice.
    CompilerError: the compiler does not take the program.
  """
  check_installed()
  # Nothing is to look for a TPU, or to ask Google Cloud what this machine is.
  for name, value in (("JAX_PLATFORMS", "cpu"), ("TPU_SKIP_MDS_QUERY", "1"),
                      ("TPU_WORKER_HOSTNAMES", "localhost"),
                      ("TPU_ACCELERATOR_TYPE", accelerator.name),
                      ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")):
    os.environ.setdefault(name, value)
  options_of_libtpu = os.environ.get("LIBTPU_INIT_ARGS", "")
  if _STACK not in options_of_libtpu:
    os.environ["LIBTPU_INIT_ARGS"] = (
        f"{options_of_libtpu} {_STACK}={_STACK_BYTES}".strip())
  import numpy as np
  from jax._src.lib import xla_client
  from jax.experimental import topologies

  # A host has four chips, if it is not said.
  bounds = {} if accelerator.chips > 1 else {
      "chips_per_host_bounds": (1, 1, 1)}
  try:
    devices = topologies.get_topology_desc(
        platform="tpu", topology_name=accelerator.topology, **bounds).devices
  except Exception as error:  # of whatever type
    raise InputError(
        f"accelerator {accelerator.name}: libtpu has no topology "
        f"{accelerator.topology}: {error}") from None
  # Of v4 there are both cores of a chip, which compute as one device.
  devices = devices[::len(devices) // accelerator.replicas]
  options = xla_client.CompileOptions()
  options.num_replicas, options.num_partitions = len(devices), 1
  options.device_assignment = xla_client.DeviceAssignment.create(
      np.array([[device.id] for device in devices]))
  module = _stablehlo(hlo)
  started = time.perf_counter()
  try:
    executable = devices[0].client.compile(
        module, xla_client.DeviceList(tuple(devices)), options)
  except Exception as error:  # of whatever type
    raise CompilerError(explained(str(error))) from None
  seconds = time.perf_counter() - started
  memory, cost = executable.get_compiled_memory_stats(), _cost(executable)
  text = "\n".join(one.to_string() for one in executable.hlo_modules())
  return Program(
      memory.argument_size_in_bytes, memory.output_size_in_bytes,
      memory.alias_size_in_bytes, memory.temp_size_in_bytes,
      memory.generated_code_size_in_bytes, cost["flops"],
      cost["bytes accessed"], seconds, largest_buffers(text),
      largest_constant(text))


def _cost(executable: Any) -> Mapping[str, float]:
  cost = executable.cost_analysis()
  return cost[0] if isinstance(cost, list) else cost


def _stablehlo(hlo: bytes) -> Any:
  """Returns the program in the form that compilers are given.

  It has no copies, which TensorFlow puts between arguments and outputs.
  """
  from jax._src.interpreters import mlir
  from jax._src.lib import xla_client
  from jax._src.lib.mlir import ir

  with mlir.make_ir_context():
    module = ir.Module.parse(xla_client._xla.mlir.hlo_to_stablehlo(hlo))
    copies: list[Any] = []

    def note(operation: Any) -> Any:
      if operation.name == "mhlo.copy":
        copies.append(operation)
      return ir.WalkResult.ADVANCE

    module.operation.walk(note)
    for operation in copies:
      operation.results[0].replace_all_uses_with(operation.operands[0])
      operation.erase()
  return module


def largest_buffers(text: str) -> tuple[Buffer, ...]:
  """Lists the buffers that a compiled program writes, the largest first.

  Not all of it is there at once.

  Args:
    text: the program, as XLA prints it.
  """
  found: dict[str, Buffer] = {}
  in_entry = False
  for line in text.splitlines():
    if line.startswith("ENTRY "):
      in_entry = True
    elif line.startswith("}"):
      in_entry = False
    match = _INSTRUCTION.match(line) if in_entry else None
    # S(1) is memory on the chip itself.
    if (match is None or match["kind"] in _NO_BUFFERS
        or "S(1)" in (match["layout"] or "")):
      continue
    size = _size(match)
    shape = f"{match['type']}[{match['dims']}]"
    operation = _OPERATION.search(line)
    first = found.setdefault(shape, Buffer(
        size, 0, shape, operation[1] if operation else match["name"]))
    found[shape] = dataclasses.replace(first, count=first.count + 1)
  return tuple(sorted(
      found.values(), key=lambda buffer: -buffer.size * buffer.count)[
          :_MOST_BUFFERS])


def largest_constant(text: str) -> int:
  """Returns the bytes of a compiled program's largest constant.

  Args:
    text: the program, as XLA prints it.
  """
  matches = filter(None, map(_INSTRUCTION.match, text.splitlines()))
  return max((_size(match) for match in matches
              if match["kind"] == "constant"), default=0)


def _size(instruction: re.Match[str]) -> int:
  """Returns the bytes that an instruction gives."""
  size = _SIZES.get(instruction["type"], 4)
  for dim in filter(None, instruction["dims"].split(",")):
    size *= int(dim)
  return size


def explained(message: str) -> str:
  """Explains the compiler's error in one line, with the operations it is about.

  Args:
    message: what the compiler says, which may be pages.
  """
  lines = [line.strip() for line in message.splitlines() if line.strip()]
  first = lines[0] if lines else "the compiler says nothing"
  operations = list(dict.fromkeys(_OPERATION.findall(message)))
  return f"{first} ({', '.join(operations[:3])})" if operations else first
