"""Checks a run before it starts: its flags, its folder, its files.

All of it is found out without TensorFlow, which takes seconds to import: flags
that contradict each other or the adapter file, a folder that holds another run,
and files that are not there.
"""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

from tf_adapters.adapter_files.info import AdapterInfo, find_encoder_source
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.sources import locate
from tf_adapters.data import text_classification
from tf_adapters.data.encodings import AUTO_ENCODING, check_encoding
from tf_adapters.errors import InputError
from tf_adapters.files.reading import check_is_file
from tf_adapters.files.writing import check_output_dir
from tf_adapters.modeling.config import AUTO_POOLING
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.problems import find_problem
from tf_adapters.training.cluster import check_cluster
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import (
    DEFAULT_ENCODER,
    GlueRunConfig,
    RunConfig,
    flag_text,
    method_flags,
)
from tf_adapters.training.run_data import check_unchanged
from tf_adapters.training.run_folder import (
    ACTIONS,
    flag_values,
    read_flags,
    read_results,
)
from tf_adapters.training.training_config import check_best_metric

# Flag -> the option of a method's configuration that it is, and the preset's
# flag, which speaks for all of them.
_METHOD_FLAGS = {flag: (name, f"{method.suffix}_preset")
                 for method in METHODS.values()
                 for flag, name in method_flags(method).items()}


def _is_per_token(config: RunConfig) -> bool:
  problem = config.known_problem
  return problem is not None and find_problem(problem).per_token


def _is_other_task(config: RunConfig, *names: str) -> bool:
  """Whether it is a task by name, and by another name than these."""
  return isinstance(config, GlueRunConfig) and config.task_name not in names


def _is_of(run: RunConfig, *problems: str) -> bool:
  """Whether it is on the user's own data, of one of these types of problem."""
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
     _is_per_token),
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


def check_start(config: RunConfig) -> None:
  """Refuses what cannot be done, as far as it is known without TensorFlow.

  Raises:
    InputError: as `check` and `plan_run`; or output_dir cannot be written, or
      something that is to be read is not there.
  """
  check(config)
  check_output_dir(config.output_dir)
  plan = plan_run(config)
  if plan.todo:
    config.check_data()
    check_encoder(config, plan.path, plan.info)


def check_inputs(configs: Iterable[RunConfig]) -> None:
  """Refuses trainings whose data or encoder is not there; looks for each once.

  Raises:
    InputError: something is not there that a run needs which is not finished.
  """
  different = {tuple(getattr(config, name, None) for name in _INPUTS): config
               for config in configs}
  for config in different.values():
    if finished_results(config) is None:
      config.check_data()
      check_encoder(config, None, None)


def check_encoder(config: RunConfig, path: str | None,
                  info: AdapterInfo | None) -> None:
  """Refuses an encoder, or a vocabulary, that is not there; reads neither.

  Args:
    config: the run.
    path, info: the adapter file to load, and what it says; None to train.

  Raises:
    InputError: there is none of that name.
  """
  if config.text_embedding is not None:
    locate(config.text_embedding, "text embedding")
    return
  encoder = config.encoder
  if encoder is None:
    encoder = (DEFAULT_ENCODER if info is None
               else find_encoder_source(path or "", info))
  locate(encoder)
  if config.vocab_file is not None:
    check_is_file(config.vocab_file)


def check(config: RunConfig) -> None:
  """Refuses what no run can be, before anything is read.

  Raises:
    InputError: nothing is to be done, flags contradict each other, or one has
      no effect.
  """
  if not (config.do_train or config.do_eval or config.do_predict):
    raise InputError(
        "nothing to do: give at least one of do_train, do_eval, do_predict")
  if config.do_train and config.load_adapter:
    raise InputError(
        "load_adapter is for do_eval and do_predict: with do_train the "
        "adapters start anew")
  if not config.output_dir:
    raise InputError("output_dir must not be empty")
  if config.overwrite and config.distribution_strategy == (
      "multi_worker_mirrored"):
    raise InputError("overwrite is not for several workers, of which one may "
                     "have to start again: remove output_dir instead")
  check_all_read(config)
  if not (isinstance(config, OwnRunConfig)
          and config.encoding == AUTO_ENCODING):
    check_encoding(config.encoding)
  if config.distribution_strategy == "tpu" and config.tpu is None:
    raise InputError(
        "distribution_strategy=tpu needs tpu: a name, an address or 'local'")
  if config.distribution_strategy == "multi_worker_mirrored":
    check_cluster()
  if config.do_train and config.train_batch_size % (config.num_replicas or 1):
    raise InputError(
        f"train_batch_size={config.train_batch_size}: cannot be split over "
        f"num_replicas={config.num_replicas}: give a multiple of it")
  if config.known_problem and config.best_metric:
    check_best_metric(config.best_metric, config.known_problem)
  if config.text_network:
    _check_text_network(config)


def _check_text_network(config: RunConfig) -> None:
  if _is_per_token(config):
    raise InputError(
        "text_network has one vector for each text: it is for classification "
        f"and regression, not for task {config.task_name}, of "
        f"type {config.known_problem}")
  if not config.do_train:
    raise InputError(
        "text_network leaves no adapter file to go on with: give do_train, too")
  if config.text_embedding and config.distribution_strategy == "tpu":
    raise InputError("text_embedding reads strings, which no TPU can: leave "
                     "distribution_strategy=tpu out")


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
  """Flags that were given and have no effect -> the flag that makes it so."""
  return {
      name: depends_on for names, depends_on, unread in _UNREAD
      for name in names
      if getattr(config, name, None) != getattr(type(config), name, None)
      and unread(config)}


def unread_method_flags(config: RunConfig) -> list[str]:
  """Flags of methods that have no effect, since another or none is trained.

  No mistake: `--flagfile=flags/glue/rte.flags --tuning=full` has such.
  """
  used = config.method_config()
  names = ["method"] if used is None else []
  for method in METHODS.values():
    if not isinstance(used, method):
      names += [f"{method.suffix}_preset", *method_flags(method)]
  return [name for name in names if getattr(config, name, None) != getattr(
      RunConfig, name, None)]


# Flags of what a training reads.
_INPUTS = ("task_name", "data_dir", "data", "train_file", "predict_file",
           "encoder",
           "vocab_file", "text_embedding", "text_column", "text_pair_column",
           "label_column", "problem_type", "encoding")
# Flags that need not be repeated where there is no training.
_FILES = {"data_dir", "data", "train_file", "predict_file"}
# Flags that are compared with the adapter file itself where it is loaded.
_MODEL = {
    "pooling", "do_lower_case", "tuning", "tune_layer_norms", "tune_pooler",
    "method", *_METHOD_FLAGS, *(preset for _, preset in _METHOD_FLAGS.values()),
}


# Flags whose default depends on the run -> what it was in older versions.
_OLDER_DEFAULTS: dict[str, Any] = {
    "pooling": "pooler", "learning_rate": 3e-4, "num_train_epochs": 3}


# Presets that were other functions in version 0.1, whose runs have no "method".
_OTHER_PRESETS = ("pfeiffer", "parallel")


def of_older_run(config: RunConfig, output_dir: pathlib.Path) -> RunConfig:
  """The run as an older version began it in its folder.

  What depends on the run now had a default then, by which it goes on.

  Raises:
    InputError: the folder's flags cannot be read.
  """
  old = read_flags(output_dir) or {}
  return dataclasses.replace(config, **{
      name: value for name, value in _OLDER_DEFAULTS.items()
      if getattr(config, name) == getattr(type(config), name)
      and old.get(name) == flag_text(value)})


def check_same_run(config: RunConfig, output_dir: pathlib.Path) -> None:
  """Refuses a folder that was made with other flags.

  Training has to repeat all flags of the run, evaluation and prediction those
  that say how the data is read; they must not contradict the others.

  Raises:
    InputError: the folder holds another run, or one of a preset that was
      another function when it began.
  """
  old = read_flags(output_dir)
  if old is None:
    return
  new = flag_values(config.flag_lines())
  defaults = flag_values(type(config)().flag_lines())
  names = old.keys() | new.keys()
  if not config.do_train:
    # An adapter file knows the model, but not how the data was read.
    common = {field.name for field in dataclasses.fields(RunConfig)}
    names = {name for name in names
             if name not in common or new.get(name) != defaults.get(name)}
    names -= {name for name in _FILES if name not in old or name not in new}
    names -= _MODEL
  for name in sorted(names - ACTIONS):
    # Older runs do not have flags that came later.
    before = old.get(name, defaults.get(name))
    if before != new.get(name):
      there = (f"without {name}, not with {new.get(name)}" if before is None
               else f"with {name}={before}, not {new.get(name, 'its default')}")
      raise InputError(
          f"{output_dir} holds a run {there}: choose another output_dir, or "
          "begin anew with overwrite")
  if (config.do_train and config.method_config() is not None
      and "method" not in old and config.adapter_preset in _OTHER_PRESETS):
    raise InputError(
        f"{output_dir} holds a run of version 0.1, where adapter_preset="
        f"{config.adapter_preset} was another function: finish it with that "
        "version, choose another output_dir, or begin anew with overwrite")


def check_problem(problem_type: str, task_name: str, path: str,
                  info: AdapterInfo) -> None:
  """Refuses an adapter file that is for another kind of task."""
  if info.problem_type != problem_type:
    raise InputError(
        f"{path}: is for {info.problem_type}, but task {task_name} is "
        f"{problem_type}")


def check_flags(config: RunConfig, path: str,
                info: AdapterInfo) -> None:
  """Refuses model flags that contradict the adapter file to be loaded."""
  method = config.method_config()
  methods = (method and method.saved(), info.method)
  values = {
      "pooling": (config.pooling, info.pooling),
      "do_lower_case": (
          config.do_lower_case, info.tokenizer.get("lower_case")),
      "method": (config.method, info.method and info.method.name),
      **{flag: tuple(getattr(one, name, None) for one in methods)
         for flag, (name, _) in _METHOD_FLAGS.items()}}
  given = {field.name for field in dataclasses.fields(RunConfig)
           if getattr(config, field.name) != field.default}
  for name, (ours, theirs) in values.items():
    flag = name
    if name in _METHOD_FLAGS and name not in given:
      flag = _METHOD_FLAGS[name][1]
    if flag in given and ours != theirs:
      raise InputError(
          f"{path}: was made with {name}={theirs}, not {ours}: leave {flag} "
          "out")
  tuning = str(config.what_trains)
  if tuning not in (RunConfig.tuning, info.tuning):
    raise InputError(
        f"{path}: was made with tuning={info.tuning}, not {tuning}: leave "
        "the flag out")


@dataclasses.dataclass(frozen=True)
class Plan:
  """A plan of what a call of `run` has to do.

  Attributes:
    config: the run.
    todo: the steps that are asked for and not yet done.
    results: of those that are done.
    path, info: the adapter file to load, and what it says; None to train.
  """

  config: RunConfig
  todo: list[str]
  results: dict[str, Any]
  path: str | None
  info: AdapterInfo | None


def plan_run(config: RunConfig) -> Plan:
  """Finds out what is not yet done of a run.

  Raises:
    InputError: the folder holds another run, or a damaged results.json; a file
      that the run read has changed; the adapter file to be loaded does not
      exist, or does not fit.
  """
  output_dir = pathlib.Path(config.output_dir)
  if config.overwrite:
    return Plan(config, [step for step, wanted in (
        ("train", config.do_train), ("evaluate", config.do_eval),
        ("predict", config.do_predict)) if wanted], {}, None, None)
  config = of_older_run(config, output_dir)
  check_same_run(config, output_dir)
  check_unchanged(output_dir)
  results = read_results(output_dir)
  todo = _todo(config, output_dir, results)
  path, info = None, None
  if "train" not in todo:
    path = config.load_adapter or str(output_dir / "adapter")
    # What is finished stays so without its adapter file.
    if todo or pathlib.Path(path).exists():
      info = _check_adapter(config, output_dir, results, path)
  return Plan(config, todo, results, path, info)


def finished_results(config: RunConfig) -> dict[str, Any] | None:
  """results.json of a run of which nothing is left to do, else None.

  Raises:
    InputError: the folder holds another run, or a damaged results.json; or a
      file that the run read has changed.
  """
  output_dir = pathlib.Path(config.output_dir)
  config = of_older_run(config, output_dir)
  check_same_run(config, output_dir)
  check_unchanged(output_dir)
  results = read_results(output_dir)
  return None if _todo(config, output_dir, results) else results


def _todo(config: RunConfig, output_dir: pathlib.Path,
          results: dict[str, Any]) -> list[str]:
  todo = []
  if config.do_train and not results.get("steps"):
    todo.append("train")
  if config.do_eval and (todo or not results.get("evaluated")):
    todo.append("evaluate")
  if config.do_predict and (todo or not (output_dir / "predictions").is_dir()):
    todo.append("predict")
  if todo and config.text_network and "train" not in todo:
    # No file holds the model: it comes from checkpoints, or is trained again.
    todo = ["train", *["evaluate"] * bool(results.get("evaluated")), *todo]
  return todo


def _check_adapter(
    config: RunConfig, output_dir: pathlib.Path, results: dict[str, Any],
    path: str) -> AdapterInfo:
  """Reads what the adapter file to be loaded says; refuses a wrong one."""
  if not (config.load_adapter or pathlib.Path(path).exists()):
    raise InputError(
        f"{path} does not exist: it was trained with nosave_adapter, or "
        "removed since"
        if config.do_train else
        "do_eval and do_predict without do_train need load_adapter, or an "
        f"output_dir with a trained adapter: {path} does not exist")
  info = open_adapter(path).info
  if config.known_problem is not None:
    check_problem(config.known_problem, config.task_name, path, info)
  check_flags(config, path, info)
  if results.get("weights_sha256", info.weights_sha256) != info.weights_sha256:
    raise InputError(
        f"{path}: is another adapter file than the one that the results in "
        f"{output_dir} are of: choose another output_dir")
  return info
