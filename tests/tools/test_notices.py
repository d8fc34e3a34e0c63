"""TensorFlow's own lines are kept from users, and no others."""

import os
import pathlib
import signal
import subprocess
import sys
import types
import warnings

import pytest

from tests.tools.calling import call
from tf_adapters.errors import warn
from tf_adapters.tools import _command
from tf_adapters.tools._notices import is_notice


@pytest.mark.parametrize("line", [
    "WARNING: All log messages before absl::InitializeLog() is called are "
    "written to STDERR",
    "I0000 00:00:1795665444.574825   20209 device_compiler.h:196] Compiled "
    "cluster using XLA!  This line is logged at most once.",
    "2026-11-26 03:56:24.428048: E external/local_xla/xla/stream_executor/cuda/"
    "cuda_platform.cc:51] failed call to cuInit: INTERNAL: CUDA error: Failed",
    "2026-11-26 03:56:43.139631: E tensorflow/core/util/util.cc:131] oneDNN "
    "supports DT_INT64 only on platforms with AVX-512. Falling back",
    "2026-11-26 03:56:43.139631: I tensorflow/core/platform/"
    "cpu_feature_guard.cc:210] This TensorFlow binary is optimized",
    "E0000 00:00:1731.5  4242 cuda_dnn.cc:8310] Unable to register cuDNN "
    "factory: Attempting to register factory",
    "2026-11-26 03:56:43.139631: W tensorflow/compiler/tf2tensorrt/utils/"
    "py_utils.cc:38] TF-TRT Warning: Could not find TensorRT",
    "W0000 00:00:1731.5  4242 op_level_cost_estimator.cc:699] Error in "
    "PredictCost() for the op: op: \"Softmax\"",
    "2026-11-26 03:56:43.139631: W tensorflow/core/framework/"
    "local_rendezvous.cc:404] Local rendezvous is aborting with status: "
    "OUT_OF_RANGE: End of sequence",
])
def test_notices(line):
  assert is_notice(line.encode())


@pytest.mark.parametrize("line", [
    "",
    "error: no flag --lr",
    "2026-11-26 03:56:24.428048: W tensorflow/core/framework/op_kernel.cc:184] "
    "OP_REQUIRES failed at conv.cc:85 : RESOURCE_EXHAUSTED: OOM when",
    "2026-11-26 03:56:24.428048: F tensorflow/core/framework/tensor.cc:844] "
    "Check failed: dtype() == expected_dtype (1 vs. 0)",
    "2026-11-26 03:56:24.428048: E external/local_xla/xla/stream_executor/cuda/"
    "cuda_dnn.cc:469] Loaded runtime CuDNN library: 9.1.0 but source was",
    "2026-11-26 03:56:24.428048: W tensorflow/core/common_runtime/gpu/"
    "gpu_device.cc:2342] Cannot dlopen some GPU libraries.",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "Fatal Python error: Segmentation fault",
])
def test_other_lines(line):
  assert not is_notice(line.encode())


_NOTICE = "I0000 00:00:1.5 2 device_compiler.h:196] Compiled cluster using XLA!"
_SCRIPT = f"""
import os, sys
from tf_adapters.tools import _notices
_notices.hide_notices()
os.write(2, b"{_NOTICE}\\nwhat is wr")
print("said by Python", file=sys.stderr)
os.write(2, b"ong\\nlast words")
"""

ROOT = pathlib.Path(__file__).parents[2]


def run(script, **environment):
  return subprocess.run(
      [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True,
      env={name: value for name, value in os.environ.items()
           if name != "TF_CPP_MIN_LOG_LEVEL"} | environment)


def test_what_is_no_notice_passes():
  done = run(_SCRIPT)
  assert done.returncode == 0
  assert "said by Python\n" in done.stderr
  assert "what is wrong\nlast words" in done.stderr.replace(
      "said by Python\n", "")
  assert "XLA" not in done.stderr


def test_the_last_words_of_a_crash_pass():
  done = run(_SCRIPT + "os.abort()")
  assert done.returncode == -signal.SIGABRT
  assert "last words" in done.stderr


def test_who_sets_the_level_gets_the_lines():
  done = run(_SCRIPT, TF_CPP_MIN_LOG_LEVEL="0")
  assert _NOTICE in done.stderr


def test_a_warning_of_ours_is_one_line(capsys):
  def main():
    warn("an odd\nfile")
    warnings.warn("a library's", RuntimeWarning, stacklevel=1)

  tool = types.ModuleType("tool")
  tool.main = lambda: _command.run(tool, main)
  assert call(tool) == 0
  ours, theirs, *_ = capsys.readouterr().err.splitlines()
  assert ours == r"warning: an odd\nfile"
  assert theirs.endswith("RuntimeWarning: a library's")
