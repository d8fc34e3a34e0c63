"""Flags of an evaluation, the same for every tool that has one."""

from absl import flags

from tf_adapters.tools import _reading_flags
from tf_adapters.training.run_config import RunConfig

_DEFAULTS = RunConfig()

flags.DEFINE_integer(
    "eval_batch_size", _DEFAULTS.eval_batch_size,
    "Examples per evaluation step, over all replicas.", lower_bound=1,
    upper_bound=1_000_000)
flags.DEFINE_enum(
    "mixed_precision", _DEFAULTS.mixed_precision, ["off", "bfloat16"],
    "Compute in bfloat16; variables, layer norms and logits stay float32.")
flags.adopt_module_key_flags(_reading_flags)
