"""Prints --help: a tool's flags in groups, the most needed ones on top."""

import textwrap
from collections.abc import Mapping, Sequence
from types import ModuleType

from absl import flags

from tf_adapters.modeling.config import Option, options
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.training.run_config import flag_text, method_flags

# Title -> flags. Those of methods have groups of their own.
_FIRST = "What one needs"
_GROUPS: Mapping[str, Sequence[str]] = {
    _FIRST: (
        "accelerator", "data", "task_name", "data_dir", "train_file",
        "predict_file", "spec",
        "preset", "sweep_dir", "text_column", "text_pair_column",
        "label_column", "problem_type", "adapters_dir", "adapter",
        "input",
        "encoder", "repository", "output_dir", "output", "mistakes",
        "overwrite"),
    "What to do": (
        "do_train", "do_eval", "do_predict", "load_adapter", "save_adapter",
        "split", "compare_with", "save_pruned", "max_loss", "pruning",
        "to", "default_task", "quantize", "preprocess_seq_length", "private",
        "license", "language", "datasets"),
    "Data": (
        "name", "labels", "validation_fraction", "test_fraction", "split_seed",
        "holdout", "task_column", "keep_columns", "format", "delimiter",
        "label_separator", "on_bad_row", "encoding", "max_train_examples",
        "max_seq_length", "version_2_with_negative", "doc_stride",
        "max_query_length", "n_best_size", "max_answer_length",
        "null_score_diff_threshold", "num_labels", "num_train_examples"),
    "Training": (
        "num_train_epochs", "learning_rate", "train_batch_size", "class_weight",
        "seed", "warmup_proportion", "weight_decay", "eval_each_epoch",
        "best_metric", "early_stopping_epochs", "keep_checkpoints",
        "save_checkpoints_steps"),
    "What trains": (
        "tuning", "method", "pooling", "tune_layer_norms", "tune_pooler",
        "vocab_file", "do_lower_case"),
    "Without BERT": (
        "text_network", "text_embedding", "tune_embedding", "hidden_layers",
        "hidden_units", "hidden_dropout"),
    "Serving": (
        "host", "port", "max_resident_tasks", "admin_token_file", "truncate",
        "max_body_bytes", "max_request_rows", "max_request_tokens",
        "max_queue_rows", "max_batch_rows", "max_batch_tokens", "max_wait_ms",
        "task_metrics", "drain_seconds"),
    "Sweeps": (
        "tasks", "methods", "max_parallel_trials", "keep_adapters", "runner",
        "ray_address", "cpus_per_trial", "gpus_per_trial", "asha",
        "asha_grace_epochs", "asha_reduction_factor"),
    "The machine": (
        "eval_batch_size", "predict_batch_size", "mixed_precision",
        "jit_compile", "remat", "batch_widths", "steps_per_execution",
        "prefix_cache", "prefix_cache_dir", "distribution_strategy",
        "num_replicas", "tpu", "largest_batch"),
}
_WIDTH = 80
_FEW = 6  # choices that are shown in one word


def groups(names: Sequence[str]) -> dict[str, list[str]]:
  """Returns flags by the title of their group, in order; others come last.

  Example:
    >>> groups(["seed", "data"])
    {'What one needs': ['data'], 'Training': ['seed']}
  """
  found = {}
  methods = {
      f"--method={name}": [f"{method.suffix}_preset", *method_flags(method)]
      for name, method in METHODS.items()}
  titles: dict[str, Sequence[str]] = {}
  for title, members in _GROUPS.items():
    titles[title] = members
    if title == "What trains":
      titles |= methods
  for title, members in titles.items():
    if here := [name for name in members if name in names]:
      found[title] = here
  known = {name for members in titles.values() for name in members}
  if others := sorted(set(names) - known):
    found["Others"] = others
  return found


def help_text(tool: ModuleType, config: type | None = None) -> str:
  """Returns the help of a tool: its text and its flags.

  Args:
    tool: the module that defines the flags.
    config: says what its flags are, where others have flags of the same names.
  """
  own = options(config) if config else {}
  names = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(tool)]
  lines = [(tool.__doc__ or "").rstrip()]
  for title, members in groups(names).items():
    lines += ["", f"{title}:"]
    for name in members:
      lines += _described(flags.FLAGS[name], own.get(name))
  return "\n".join(lines)


def _described(flag: flags.Flag, option: Option | None) -> list[str]:
  """Describes a flag, in lines.

  Args:
    flag: the flag.
    option: that it stands for, where that says more.
  """
  default = flag.default if option is None else option.default
  text = flag.help if option is None else option.help
  expected = flag.parser.syntactic_help
  head = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
  choices = getattr(flag.parser, "enum_values", ())
  # absl puts them before the help, too.
  text = text.removeprefix(f"<{'|'.join(choices)}>: ")
  if choices and option is not None:
    choices = option.choices
  if choices:
    expected = f"one of {', '.join(choices)}"
    if len(choices) <= _FEW:
      head, expected = f"{head}: <{'|'.join(choices)}>", ""
  notes = []
  if expected and not flag.boolean and expected not in text:
    notes.append(expected)
  # What is None, or empty, the help says itself.
  if default not in (None, "") and not (flag.boolean and not default):
    notes.append(f"default: {flag_text(default)}")
  if notes:
    text += f" [{'; '.join(notes)}]"
  return textwrap.wrap(
      f"{head}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="    ",
      break_long_words=False, break_on_hyphens=False)
