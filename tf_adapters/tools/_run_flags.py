"""Flags of a run, the same for every tool that trains."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

from absl import flags

from tf_adapters.errors import InputError
from tf_adapters.modeling import class_weight
from tf_adapters.modeling.config import ACTIVATIONS, AUTO_POOLING, POOLINGS
from tf_adapters.modeling.methods.bottleneck import (
    POSITIONS,
    PRESETS,
    AdapterConfig,
)
from tf_adapters.modeling.tuning import TUNINGS, Tuning
from tf_adapters.tools import (
    _encoder_flags,
    _evaluation_flags,
    _output_dir_flag,
)
from tf_adapters.training.run_config import RunConfig
from tf_adapters.training.training_config import BEST_METRICS, STRATEGIES

_DEFAULTS = RunConfig()

# What is done, and where.
flags.adopt_module_key_flags(_output_dir_flag)
flags.DEFINE_bool("do_train", _DEFAULTS.do_train, "Train.")
flags.DEFINE_bool(
    "do_eval", _DEFAULTS.do_eval,
    "Evaluate on every labelled validation and test split.")
flags.DEFINE_bool(
    "do_predict", _DEFAULTS.do_predict,
    "Write predictions for the test split, for GLUE tasks as the GLUE server "
    "takes them.")
flags.DEFINE_string(
    "load_adapter", _DEFAULTS.load_adapter,
    "Adapter file to evaluate or predict with; without it output_dir/adapter.")
flags.DEFINE_bool(
    "save_adapter", _DEFAULTS.save_adapter,
    "Save the tuned weights in output_dir/adapter after training.")
flags.DEFINE_bool(
    "keep_checkpoints", _DEFAULTS.keep_checkpoints,
    "Keep output_dir/checkpoints after a finished run.")
flags.DEFINE_integer(
    "save_checkpoints_steps", _DEFAULTS.save_checkpoints_steps,
    "Steps between checkpoints to resume from; one is written after each "
    "epoch anyway.", lower_bound=1)

# The model.
flags.adopt_module_key_flags(_encoder_flags)
flags.DEFINE_enum(
    "pooling", _DEFAULTS.pooling, (AUTO_POOLING, *POOLINGS),
    "What the head sees: BERT's pooler on the first token, the first token's "
    "output, or the mean of all tokens' outputs. auto is what the encoder was "
    "made for: mean or cls for a sentence encoder, mean where the pooler was "
    "never trained, else pooler; tf-adapters inspect says which.")
flags.DEFINE_string(
    "tuning", _DEFAULTS.tuning,
    f"What trains, beside the head: {', '.join(TUNINGS)}. The last is the "
    "paper's baseline: a network on embedded texts, for classification and "
    "regression.")
flags.DEFINE_bool(
    "tune_layer_norms", _DEFAULTS.tune_layer_norms,
    "Train, or freeze, BERT's layer norms. Default: as --tuning does.")
flags.DEFINE_bool(
    "tune_pooler", _DEFAULTS.tune_pooler,
    "Train, or freeze, BERT's pooler. Default: as --tuning does.")
flags.DEFINE_enum(
    "adapter_preset", _DEFAULTS.adapter_preset, PRESETS,
    "What the other adapter flags are where they are not given: the paper's, "
    "after the feed-forward only, beside the sub-layers, or AdapterHub's.")
flags.DEFINE_integer(
    "adapter_size", _DEFAULTS.adapter_size,
    "Width of the adapters' bottleneck. (houlsby: 64)", lower_bound=1,
    upper_bound=65536)
flags.DEFINE_enum(
    "adapter_activation", _DEFAULTS.adapter_activation, ACTIVATIONS,
    "Non-linearity of the adapters; gelu is the exact one, gelu_tanh BERT's "
    "approximation. (houlsby: gelu_tanh)")
flags.DEFINE_float(
    "adapter_init_scale", _DEFAULTS.adapter_init_scale,
    "Standard deviation of the adapters' initial kernels. (houlsby: 0.001)",
    lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_float(
    "adapter_dropout", _DEFAULTS.adapter_dropout,
    "Dropout rate inside the adapters. (houlsby: 0)", lower_bound=0.0,
    upper_bound=0.99)
flags.DEFINE_string(
    "adapter_layers", None,
    "Layers that get adapters, counted from 0, such as 6-11 or 0,5,8-11; the "
    "layer norms below the lowest of them stay frozen. (all)")
flags.DEFINE_list(
    "adapter_positions", None,
    f"After which sub-layers adapters stand: some of {', '.join(POSITIONS)}; "
    "output is the feed-forward's. (houlsby: both)")
flags.DEFINE_bool(
    "adapter_parallel", _DEFAULTS.adapter_parallel,
    "Put adapters beside the sub-layers instead of after them. (false)")
flags.DEFINE_integer(
    "adapter_depth", _DEFAULTS.adapter_depth,
    "Layers inside the bottleneck. (1)", lower_bound=1, upper_bound=100)
flags.DEFINE_bool(
    "adapter_layer_norm", _DEFAULTS.adapter_layer_norm,
    "Normalise what adapters see. (false)")
flags.DEFINE_string(
    "text_embedding", _DEFAULTS.text_embedding,
    "--tuning=no_bert: a TF Hub module that makes vectors of texts: a URL, a "
    "handle such as google/nnlm-en-dim128/2, or a SavedModel's folder. It is a "
    "program that is run. (the mean of the --encoder's word embeddings)")
flags.DEFINE_bool(
    "tune_embedding", _DEFAULTS.tune_embedding,
    "--tuning=no_bert: train the embedding, too.")
flags.DEFINE_integer(
    "hidden_layers", _DEFAULTS.hidden_layers,
    "--tuning=no_bert: dense layers between embedding and head.",
    lower_bound=0, upper_bound=100)
flags.DEFINE_integer(
    "hidden_units", _DEFAULTS.hidden_units,
    "--tuning=no_bert: width of these layers.", lower_bound=1,
    upper_bound=65536)
flags.DEFINE_float(
    "hidden_dropout", _DEFAULTS.hidden_dropout,
    "--tuning=no_bert: dropout rate between these layers and in front of the "
    "head.", lower_bound=0.0, upper_bound=0.99)
flags.DEFINE_integer(
    "max_seq_length", _DEFAULTS.max_seq_length,
    "Longest input in wordpieces; longer texts are cut. Default: the saved "
    "adapter's, else 128 (384 for SQuAD).", lower_bound=5,
    upper_bound=512)

# The training.
flags.DEFINE_float(
    "learning_rate", _DEFAULTS.learning_rate,
    "Highest learning rate of AdamW. (by --tuning and the encoder's width: of "
    "adapters 3e-4 on BERT-base and larger, 1e-3 on smaller ones; of full 3e-5 "
    "and 1e-4)", lower_bound=1e-12, upper_bound=1e3)
flags.DEFINE_integer(
    "num_train_epochs", _DEFAULTS.num_train_epochs,
    "Passes over the training data; the best one by validation is kept. (3, or "
    "as many as make 300 steps, up to 50)",
    lower_bound=1, upper_bound=1_000_000)
flags.DEFINE_float(
    "warmup_proportion", _DEFAULTS.warmup_proportion,
    "Part of the steps during which the learning rate rises.",
    lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_float(
    "weight_decay", _DEFAULTS.weight_decay,
    "Decoupled weight decay of the kernels.", lower_bound=0.0,
    upper_bound=1e3)
flags.DEFINE_bool(
    "eval_each_epoch", _DEFAULTS.eval_each_epoch,
    "Evaluate after each epoch and keep the best; without it the last one is "
    "kept.")
flags.DEFINE_enum(
    "best_metric", _DEFAULTS.best_metric,
    list(dict.fromkeys(itertools.chain(*BEST_METRICS.values()))),
    "The validation metric that selects the best epoch. (the task's first one)")
flags.DEFINE_string(
    "class_weight", _DEFAULTS.class_weight,
    "What labels weigh in the loss: balanced, the rarer the more, or such as "
    "spam:5,ham:1, where others weigh 1. (all the same)")
flags.DEFINE_integer(
    "early_stopping_epochs", _DEFAULTS.early_stopping_epochs,
    "End the training when so many epochs after the best one by validation "
    "were no better. (never)", lower_bound=1)
flags.DEFINE_bool(
    "prefix_cache", _DEFAULTS.prefix_cache,
    "Compute the lowest layers once for each row, not once an epoch, where "
    "nothing trains in them (--adapter_layers of upper layers, --tuning="
    "top_layers:K or head). They have no dropout then, so results differ a "
    "little from those without the flag.")
flags.DEFINE_string(
    "prefix_cache_dir", _DEFAULTS.prefix_cache_dir,
    "Folder where their outputs are kept for later runs on the same data and "
    "encoder, those of a sweep for instance. Default: up to 1 GiB a split in "
    "memory, more in a file in --output_dir that ends with the run.")
flags.DEFINE_integer(
    "train_batch_size", _DEFAULTS.train_batch_size,
    "Examples per training step, over all replicas.", lower_bound=1,
    upper_bound=1_000_000)
flags.DEFINE_integer(
    "seed", _DEFAULTS.seed,
    "Of initial weights, dropout and the order of the examples.",
    lower_bound=0, upper_bound=2**31 - 1)
flags.adopt_module_key_flags(_evaluation_flags)

# The machine.
flags.DEFINE_enum(
    "distribution_strategy", _DEFAULTS.distribution_strategy, STRATEGIES,
    "The tf.distribute strategy to run under: one_device; mirrored, a replica "
    "on each GPU; multi_worker_mirrored, on several machines that TF_CONFIG "
    "names; tpu. Batches have the same size over all replicas under each.")
flags.DEFINE_string(
    "tpu", _DEFAULTS.tpu,
    "Name or address of the TPU, or local, for --distribution_strategy=tpu.")
flags.DEFINE_integer(
    "num_replicas", _DEFAULTS.num_replicas,
    "Replicas that share the CPU, to try --distribution_strategy=mirrored out "
    "on a machine without GPUs.", lower_bound=1, upper_bound=64)
flags.DEFINE_bool(
    "jit_compile", _DEFAULTS.jit_compile, "Compile the steps with XLA.")
flags.DEFINE_integer(
    "steps_per_execution", _DEFAULTS.steps_per_execution,
    "Steps between two looks at a training: at the loss, Ctrl-C, the progress "
    "bar, and whether to write a checkpoint. TPUs want many.", lower_bound=1,
    upper_bound=1_000_000)
flags.DEFINE_list(
    "batch_widths", None,
    "Wordpieces that batches are padded to, and max_seq_length. (8, 16, ..., "
    "64, 80, ...; with --jit_compile 32, 64, 128, ...)")
flags.DEFINE_integer(
    "max_train_examples", _DEFAULTS.max_train_examples,
    "Train on this many examples, drawn by the seed; all without it.",
    lower_bound=1)


_MOST_LAYERS = 1000


def parse_layers(text: str | None) -> tuple[int, ...] | None:
  """Reads layer numbers such as "6-11" or "0,5,8-11"; None stays None.

  Raises:
    InputError: it is no such list.
  """
  if text is None:
    return None
  layers: set[int] = set()
  for part in text.split(","):
    first, dash, last = part.partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal()
            and int(first) <= int(last) < _MOST_LAYERS):
      raise InputError(f"{text!r} is no list of layers such as 6-11 or 0,5")
    layers.update(range(int(first), int(last) + 1))
  return tuple(sorted(layers))


def parse_widths(widths: list[str] | None) -> tuple[int, ...] | None:
  """Reads widths of batches; None stays None.

  Raises:
    InputError: they are no positive numbers.
  """
  if widths is None:
    return None
  if not widths or not all(
      width.isdecimal() and 0 < int(width) <= 512 for width in widths):
    raise InputError(
        f"{','.join(widths)!r}: expected numbers from 1 to 512, such as "
        "32,64,128")
  return tuple(int(width) for width in widths)


def _valid(parse: Callable[[Any], Any]) -> Callable[[Any], bool]:
  """A flag validator from a function that raises InputError."""
  def check(value):
    try:
      parse(value)
    except InputError as error:
      raise flags.ValidationError(str(error)) from None
    return True
  return check


for _name in ("learning_rate", "weight_decay", "warmup_proportion",
              "adapter_init_scale", "adapter_dropout", "hidden_dropout"):
  # NaN passes every bound.
  flags.register_validator(
      _name, lambda value: value is None or math.isfinite(value),
      "must be a number")
flags.register_validator("tuning", _valid(Tuning.parse))
flags.register_validator("class_weight", _valid(
    lambda value: value is None or class_weight.parse(value)))
flags.register_validator("adapter_layers", _valid(parse_layers))
flags.register_validator("batch_widths", _valid(parse_widths))
flags.register_validator("adapter_positions", _valid(
    lambda value: value is None or AdapterConfig(positions=tuple(value))))


def values_of(config: type[RunConfig],
              given: flags.FlagValues) -> dict[str, Any]:
  """The fields of a configuration as the flags have them."""
  values = {field.name: given[field.name].value
            for field in dataclasses.fields(config)}
  values["adapter_layers"] = parse_layers(values["adapter_layers"])
  values["batch_widths"] = parse_widths(values["batch_widths"])
  if values["adapter_positions"] is not None:
    values["adapter_positions"] = tuple(values["adapter_positions"])
  return values
