"""Flags without effect: those that the others leave unread."""

from collections.abc import Collection

from tf_adapters.data import text_classification
from tf_adapters.errors import InputError
from tf_adapters.modeling.config import AUTO_POOLING
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.problems import find_problem
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import (
    GlueRunConfig,
    RunConfig,
    flag_text,
    method_flags,
)


def is_per_token(config: RunConfig) -> bool:
  """Returns whether a run's task, if it is known, has outputs for each token.
  """
  problem = config.known_problem
  return problem is not None and find_problem(problem).per_token


def _is_other_task(config: RunConfig, *names: str) -> bool:
  """Returns whether it is a task by name, and by another name than these."""
  return isinstance(config, GlueRunConfig) and config.task_name not in names


def _is_of(run: RunConfig, *problems: str) -> bool:
  """Returns whether it is on the user's own data, of one of these problems."""
  return isinstance(run, OwnRunConfig) and run.problem_type in problems


def _has_no_labels(config: RunConfig) -> bool:
  problem = config.known_problem
  return problem is not None and not find_problem(problem).has_labels


# Flags, the one that they depend on, and whether nobody reads them then.
_UNREAD = (
    (("tpu",), "distribution_strategy",
     lambda run: run.distribution_strategy != "tpu"),
    (("num_replicas",), "distribution_strategy",
     lambda run: run.distribution_strategy != "mirrored"),
    (("jit_compile",), "distribution_strategy",
     lambda run: run.distribution_strategy == "tpu"),
    (("jit_compile", "encoder", "vocab_file", "max_seq_length",
      "batch_widths"), "text_embedding",
     lambda run: run.text_embedding is not None),
    (("remat", "pooling", "tune_layer_norms", "tune_pooler", "prefix_cache",
      "prefix_cache_dir", "load_adapter", "save_adapter", "tuning"),
     "text_network", lambda run: run.text_network),
    (("text_embedding", "tune_embedding", "hidden_layers", "hidden_units",
      "hidden_dropout"), "text_network", lambda run: not run.text_network),
    (("pooling", "tune_pooler"), "task_name",
     is_per_token),
    (("pooling", "tune_pooler"), "problem_type",
     lambda run: _is_of(run, "tagging", "span")),
    (("tune_pooler",), "pooling",
     lambda run: run.pooling not in (AUTO_POOLING, "pooler")),
    (("text_column", "label_column"), "task_name",
     lambda run: _is_other_task(run, "tsv", "tagging")),
    (("text_pair_column", "problem_type", "label_separator"), "task_name",
     lambda run: _is_other_task(run, "tsv")),
    (("text_pair_column",), "problem_type", lambda run: _is_of(run, "tagging")),
    (("label_separator",), "problem_type",
     lambda run: not find_problem(run.problem_type).separator),
    (("data_dir",), "task_name", lambda run: run.task_name == "demo"),
    (("encoding",), "task_name",
     lambda run: isinstance(run, GlueRunConfig) and run.task_name in (
         *text_classification.TASKS, "demo")),
    (("class_weight",), "task_name",
     _has_no_labels),
    (("class_weight",), "problem_type",
     lambda run: run.known_problem == getattr(run, "problem_type", None)
     and _has_no_labels(run)),
    (("early_stopping_epochs", "best_metric"), "eval_each_epoch",
     lambda run: not run.eval_each_epoch),
    (("overwrite",), "do_train", lambda run: not run.do_train),
    (("prefix_cache_dir",), "prefix_cache", lambda run: not run.prefix_cache),
    (("null_score_diff_threshold",), "version_2_with_negative",
     lambda run: not run.version_2_with_negative),
)


def check_all_read(config: RunConfig) -> None:
  """Refuses flags that the others leave without effect.

  Raises:
    InputError: a flag has another value than its default, and nobody reads it.
  """
  for name, depends_on in unread_flags(config).items():
    raise InputError(
        f"{name}={getattr(config, name)} has no effect with {depends_on}="
        f"{getattr(config, depends_on)}: leave it out")


def unread_flags(config: RunConfig) -> dict[str, str]:
  """Returns {given flag that has no effect: the flag that makes it so}."""
  return {
      name: depends_on for names, depends_on, unread in _UNREAD
      for name in names
      if getattr(config, name, None) != getattr(type(config), name, None)
      and unread(config)}


def check_methods_read(config: RunConfig, names: Collection[str]) -> None:
  """Refuses flags of methods that have no effect.

  Args:
    config: the run.
    names: of the flags that may not be without effect. Others may be: those of
      `--flagfile=flags/glue/rte.flags --tuning=full`.

  Raises:
    InputError: there is one; names the flag that it takes.
  """
  for name in unread_method_flags(config):
    if name in names:
      raise InputError(f"{name}={flag_text(getattr(config, name))} "
                       f"{why_unread(config, name)}")


def why_unread(config: RunConfig, name: str) -> str:
  """Says why a flag of a method has no effect, and the remedy."""
  if config.method_config() is None:
    other = ("text_network=true" if config.text_network
             else f"tuning={config.what_trains}")
    return f"has no effect with {other}: leave it out"
  wanted = [method.name for method in METHODS.values()
            if name in _flags_of(method)]
  return (f"has no effect with method={config.method}: it is for "
          f"method={' and method='.join(wanted)}")


def _flags_of(method: type[Method]) -> list[str]:
  return [f"{method.suffix}_preset", *method_flags(method)]


def unread_method_flags(config: RunConfig) -> list[str]:
  """Names flags of methods without effect: another is trained, or none."""
  used = config.method_config()
  names = ["method"] if used is None else []
  for method in METHODS.values():
    if not isinstance(used, method):
      names += _flags_of(method)
  return [name for name in dict.fromkeys(names)
          if getattr(config, name, None) != getattr(RunConfig, name, None)]
