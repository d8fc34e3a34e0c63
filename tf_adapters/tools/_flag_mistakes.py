"""Messages for flags that cannot be parsed: which one was probably meant."""

import glob
import os
import re
import shlex
from collections.abc import Sequence

from absl import flags

from tf_adapters.adapter_files.info import CONFIG_NAME as ADAPTER_CONFIG
from tf_adapters.errors import similar
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.modeling.tuning import TUNINGS

# Flags that take data and adapter files; a tool has one of either.
_DATA_FLAGS = ("data", "input", "data_dir")
_ADAPTER_FLAGS = ("adapter", "load_adapter")
# Files by which a folder is an encoder's.
_OF_ENCODERS = ("saved_model.pb", "config.json", "*.index")

# What a flag is called in other programs -> here; of several the tool's own.
SYNONYMS: dict[str, Sequence[str]] = {
    "batch_size": ["train_batch_size", "predict_batch_size", "eval_batch_size"],
    "per_device_train_batch_size": ["train_batch_size"],
    "per_device_eval_batch_size": ["eval_batch_size"],
    "epochs": ["num_train_epochs"],
    "num_epochs": ["num_train_epochs"],
    "max_epochs": ["num_train_epochs"],
    "lr": ["learning_rate"],
    "warmup": ["warmup_proportion"],
    "warmup_ratio": ["warmup_proportion"],
    "warmup_steps": ["warmup_proportion"],
    "patience": ["early_stopping_epochs"],
    "random_seed": ["seed"],
    "max_length": ["max_seq_length", "preprocess_seq_length"],
    "max_len": ["max_seq_length", "preprocess_seq_length"],
    "seq_length": ["max_seq_length", "preprocess_seq_length"],
    "max_train_samples": ["max_train_examples"],
    "model": ["encoder"],
    "model_name": ["encoder"],
    "model_name_or_path": ["encoder"],
    "bert": ["encoder"],
    "checkpoint": ["encoder"],
    "init_checkpoint": ["encoder"],
    "repo": ["repository"],
    "repo_id": ["repository"],
    "hub_model_id": ["repository"],
    "tokenizer": ["vocab_file"],
    "tokenizer_name": ["vocab_file"],
    "lower_case": ["do_lower_case"],
    "uncased": ["do_lower_case"],
    "task": ["task_name", "name", "tasks", "task_column", "default_task"],
    "task_name": ["name", "task_column"],
    "holdout": ["validation_fraction"],
    "val_split": ["validation_fraction", "holdout"],
    "validation_split": ["validation_fraction", "holdout"],
    "test_size": ["test_fraction"],
    "test_split": ["test_fraction"],
    "sep": ["delimiter"],
    "separator": ["delimiter", "label_separator"],
    "force": ["overwrite"],
    "adapter": ["load_adapter"],
    "adapters": _ADAPTER_FLAGS,
    "data_dir": ["data", "input", "train_file"],
    "dataset": ["data", "data_dir", "input"],
    "dataset_name": ["task_name"],
    "data": ["data_dir", "input"],
    "data_path": ["data", "data_dir", "input"],
    "input": ["data", "data_dir"],
    "file": ["data", "input", "data_dir"],
    "train_file": ["data", "data_dir"],
    "csv": ["data", "input", "data_dir"],
    "input_file": ["data", "input", "predict_file", "data_dir"],
    "output": ["output_dir"],
    "output_file": ["output", "output_dir"],
    "out": ["output", "output_dir"],
    "save_dir": ["output_dir", "output"],
    "logdir": ["output_dir"],
    "text": ["text_column"],
    "label": ["label_column"],
    "labels": ["label_column"],
    "target": ["label_column"],
    "target_column": ["label_column"],
    "words_column": ["text_column"],
    "tokens_column": ["text_column"],
    "tags_column": ["label_column"],
    "question_column": ["text_column"],
    "context_column": ["text_pair_column"],
    "answers_column": ["label_column"],
    "train": ["do_train"],
    "eval": ["do_eval"],
    "evaluate": ["do_eval"],
    "predict": ["do_predict"],
    "bottleneck": ["adapter_size"],
    "adapter_dim": ["adapter_size"],
    "reduction_factor": ["adapter_size"],
    "fp16": ["mixed_precision"],
    "bf16": ["mixed_precision"],
    **dict.fromkeys(("gpu", "cuda", "device", "devices", "accelerator"),
                    ("distribution_strategy",)),
    "gpus": ["distribution_strategy", "gpus_per_trial"],
    "num_gpus": ["distribution_strategy", "gpus_per_trial"],
    "strategy": ["distribution_strategy"],
    "xla": ["jit_compile"],
    **dict.fromkeys(("gradient_checkpointing", "rematerialize"), ("remat",)),
    "parallel": ["max_parallel_trials"],
    "jobs": ["max_parallel_trials"],
}

# Flag -> value in other programs -> here.
_VALUES = {
    "distribution_strategy": {
        **dict.fromkeys(("gpu", "gpus", "cuda"), "mirrored"), "cpu": "off",
        "none": "off", "ddp": "multi_worker_mirrored"},
    "method": {
        **dict.fromkeys(("adapters", "adapter", "houlsby", "bottlenecks"),
                        "bottleneck"),
        "prefix_tuning": "prefix", "mam": "union"},
    "best_metric": {
        **dict.fromkeys(("acc", "val_acc", "val_accuracy"), "accuracy"),
        "mcc": "matthews_correlation", "em": "exact_match", "macro": "macro_f1",
        "micro": "micro_f1"},
    "problem_type": {
        **dict.fromkeys(("multiclass", "binary", "sentiment"),
                        "classification"),
        "multilabel": "multi_label", "multi_label_classification":
            "multi_label",
        **dict.fromkeys(("ner", "pos", "token_classification"), "tagging"),
        **dict.fromkeys(("qa", "question_answering", "squad"), "span")},
}
# Flag -> value -> the flag that takes it.
_OTHER_FLAG = {
    "tuning": {name: f"--method={name}" for name in METHODS},
    "method": {name: f"--tuning={name}" for name in TUNINGS
               if name != "adapters"}}
# What a flag's value is not, and where it belongs.
_ELSEWHERE = {"task_name": "; data of your own: tf-adapters train --data=FILE"}

_WRONG_VALUE = re.compile(r"flag --(\w+)=(.*?): (.*)", re.DOTALL)
# How absl and Python say that a value is of another type.
_OTHER_TYPE = ("invalid literal", "could not convert", "('Non-boolean")


def explained(error: Exception, names: Sequence[str]) -> str:
  """Says what is wrong with a command line, and what is probably meant.

  Args:
    error: what parsing it ended with.
    names: the tool's own flags.
  """
  if isinstance(error, flags.UnrecognizedFlagError):
    near = meant(error.flagname, names)
    return (f"no flag --{error.flagname}"
            + (f": did you mean --{near}?" if near else ""))
  wrong = _WRONG_VALUE.fullmatch(str(error))
  if not wrong:
    return str(error)
  name, value, reason = wrong.groups()
  if other := _OTHER_FLAG.get(name, {}).get(value.lower().split(":")[0]):
    return f"flag --{name}={value}: did you mean {other}?"
  parser = flags.FLAGS[name].parser
  if choices := getattr(parser, "enum_values", ()):
    near = _VALUES.get(name, {}).get(value.lower())
    if near not in choices:
      near = similar(value, choices)
    reason = ((f"did you mean {near}? It is " if near else "expected ")
              + f"one of {', '.join(choices)}" + _ELSEWHERE.get(name, ""))
  elif reason.startswith(_OTHER_TYPE):
    reason = f"expected {parser.syntactic_help or 'true or false'}"
  return f"flag --{name}={value}: {reason}"


def with_dashes(message: str, names: Sequence[str]) -> str:
  """Calls the arguments in a message of the library as flags are called.

  The library does not know who calls it, and names arguments: `data_dir`. Names
  of one word are flags only with a value behind them. What stands in a path, in
  quotation marks or behind a point is something else.

  Args:
    message: of an error or a warning.
    names: the tool's own flags.

  Example:
    >>> with_dashes("tuning=full: leave data_dir out", ["data_dir", "tuning"])
    '--tuning=full: leave --data_dir out'
  """
  alone = "|".join(name for name in names if "_" in name)
  valued = "|".join(name for name in names if "_" not in name)
  before, behind = r"(?<![\w\-./'\"=\[])", r"(?![\w\-./'\"(\]])"
  for pattern in (alone and rf"{before}((?:{alone})){behind}",
                  valued and rf"{before}((?:{valued})=)(?=[\w'])"):
    if pattern:
      message = re.sub(pattern, r"--\1", message)
  return message


def stray(arguments: Sequence[str], names: Sequence[str]) -> str:
  """Returns the error on arguments that are no flags.

  Args:
    arguments: all of them.
    names: the tool's own flags.
  """
  first = arguments[0]
  if first.lower() in ("help", "h", "?"):
    return f"unexpected argument {first!r}: --help lists the flags"
  flag_of = {argument: _flag_of(argument, names) for argument in arguments}
  if flag_of[first] is not None:
    given = " ".join(f"--{flag}={shlex.quote(argument)}"
                     for argument, flag in flag_of.items() if flag)
    return f"unexpected argument {first!r}: did you mean {given}?"
  return (f"unexpected argument {first!r}: flags begin with --, and values "
          "with blanks in them need quotation marks")


def _flag_of(argument: str, names: Sequence[str]) -> str | None:
  """Returns the flag that takes what a path leads to, if the tool has one."""
  if not os.path.exists(argument):
    return None
  wanted: Sequence[str] = _DATA_FLAGS
  if os.path.exists(os.path.join(argument, ADAPTER_CONFIG)):
    wanted = _ADAPTER_FLAGS
  elif any(glob.glob(os.path.join(glob.escape(argument), pattern))
           for pattern in _OF_ENCODERS):
    wanted = ("encoder",)
  return next((name for name in wanted if name in names), None)


def meant(name: str, names: Sequence[str]) -> str | None:
  """Returns the flag that another program's name, or a typing error, means.

  Example:
    >>> meant("batch_size", ["batch_widths", "train_batch_size"])
    'train_batch_size'
  """
  name = name.lower().replace("-", "_")
  for one in SYNONYMS.get(name, ()):
    if one in names:
      return one
  return similar(name, names)
