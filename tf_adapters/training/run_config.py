"""What a run is: a configuration whose fields are the flags of a tool.

Also what may be called again in the same folder, or with an adapter file. What
a run does is elsewhere.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import ClassVar

from tf_adapters.adapter_info import AdapterInfo
from tf_adapters.data import squad
from tf_adapters.data.loading import load_task
from tf_adapters.data.sampling import hold_out
from tf_adapters.data.tasks import Task
from tf_adapters.errors import InputError
from tf_adapters.modeling.config import AdapterConfig, NetworkConfig
from tf_adapters.modeling.models import PER_TOKEN
from tf_adapters.modeling.tuning import NO_BERT, Tuning
from tf_adapters.training import trainer
from tf_adapters.training.run_folder import ACTIONS, flag_values, read_flags

DEFAULT_ENCODER = "bert_base_uncased"


@dataclasses.dataclass(frozen=True)
class RunConfig(trainer.TrainingConfig):
  """One run; the names are the flags'. See `tf-adapters glue --help`.

  What is None of the adapters is the preset's. `encoder` and `max_seq_length`
  are None for the saved adapter's, or for the defaults below where there is
  none.

  Attributes:
    task_name: what the task is called.
    known_problem: the type of problem, where it is known before the data is
      read.
    default_max_seq_length: what a `max_seq_length` of None means.
  """

  default_max_seq_length: ClassVar[int] = 128

  output_dir: str = ""
  do_train: bool = False
  do_eval: bool = False
  do_predict: bool = False
  encoder: str | None = None
  vocab_file: str | None = None
  do_lower_case: bool | None = None
  pooling: str = "pooler"
  tuning: str = "adapters"
  tune_layer_norms: bool | None = None
  tune_pooler: bool | None = None
  adapter_preset: str = "houlsby"
  adapter_size: int | None = None
  adapter_activation: str | None = None
  adapter_init_scale: float | None = None
  adapter_dropout: float | None = None
  adapter_layers: tuple[int, ...] | None = None
  adapter_positions: tuple[str, ...] | None = None
  adapter_parallel: bool | None = None
  adapter_depth: int | None = None
  adapter_layer_norm: bool | None = None
  text_embedding: str | None = None
  tune_embedding: bool = False
  hidden_layers: int = NetworkConfig.hidden_layers
  hidden_units: int = NetworkConfig.hidden_units
  hidden_dropout: float = NetworkConfig.hidden_dropout
  load_adapter: str | None = None
  save_adapter: bool = True
  max_seq_length: int | None = None
  max_train_examples: int | None = None
  on_bad_row: str = "error"
  distribution_strategy: str = "off"
  tpu: str | None = None
  num_replicas: int | None = None
  mixed_precision: str = "off"
  keep_checkpoints: bool = True

  @property
  def compiled(self) -> bool:
    return self.jit_compile or self.distribution_strategy == "tpu"

  def flag_lines(self) -> list[str]:
    """The run as lines of a flag file."""
    lines = []
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value is not None:
        lines.append(f"--{field.name}={flag_text(value)}")
    return lines

  def adapters(self) -> AdapterConfig | None:
    """The adapters' configuration, or None where none are trained.

    Raises:
      InputError: a value is out of range.
    """
    if Tuning.parse(self.tuning).method != "adapters":
      return None
    given = {field.name: getattr(self, f"adapter_{field.name}")
             for field in dataclasses.fields(AdapterConfig)}
    return AdapterConfig.preset(self.adapter_preset, **{
        name: value for name, value in given.items() if value is not None})

  @property
  def without_bert(self) -> bool:
    """Whether the model is a `TextNetwork`, of which there is no adapter file.
    """
    return Tuning.parse(self.tuning).method == NO_BERT

  def network(self) -> NetworkConfig | None:
    """The configuration of the network that takes BERT's place, or None.

    Raises:
      InputError: a value is out of range.
    """
    if not self.without_bert:
      return None
    return NetworkConfig(
        self.hidden_layers, self.hidden_units, self.hidden_dropout)

  @property
  def known_problem(self) -> str | None:
    return None

  def load_task(self, labels: Sequence[str] | None = None) -> Task:
    """The task with its data.

    Args:
      labels: names in order, where an adapter file says them.

    Raises:
      InputError: the data can not be read.
    """
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class GlueRunConfig(RunConfig):
  """A run on one of `data.loading.TASK_NAMES`."""

  task_name: str = ""
  data_dir: str | None = None
  holdout: float = 0.0
  text_column: str = "text"
  text_pair_column: str | None = None
  label_column: str = "label"
  label_separator: str = ","
  problem_type: str = "classification"

  @property
  def known_problem(self) -> str | None:
    return {"tagging": "tagging", "tsv": self.problem_type}.get(self.task_name)

  def load_task(self, labels: Sequence[str] | None = None) -> Task:
    task = load_task(
        self.task_name, self.data_dir, self.text_column, self.text_pair_column,
        self.label_column, self.problem_type, labels, self.label_separator,
        self.on_bad_row)
    return hold_out(task, self.holdout) if self.holdout else task


@dataclasses.dataclass(frozen=True)
class SquadRunConfig(RunConfig):
  """A run on SQuAD v1.1 or v2.0."""

  default_max_seq_length: ClassVar[int] = 384

  train_file: str | None = None
  predict_file: str | None = None
  version_2_with_negative: bool = False
  doc_stride: int = squad.SquadOptions.doc_stride
  max_query_length: int = squad.SquadOptions.max_query_length
  n_best_size: int = squad.SquadOptions.n_best_size
  max_answer_length: int = squad.SquadOptions.max_answer_length
  null_score_diff_threshold: float = (
      squad.SquadOptions.null_score_diff_threshold)

  @property
  def task_name(self) -> str:
    return "squad_v2" if self.version_2_with_negative else "squad"

  @property
  def known_problem(self) -> str | None:
    return "span"

  def load_task(self, labels: Sequence[str] | None = None) -> Task:
    del labels
    return squad.load(
        self.train_file if self.do_train else None, self.predict_file,
        squad.SquadOptions(
            self.version_2_with_negative, self.doc_stride,
            self.max_query_length, self.n_best_size, self.max_answer_length,
            self.null_score_diff_threshold), self.on_bad_row)


def flag_text(value: object) -> str:
  """A flag's value as it stands on a command line."""
  match value:
    case bool():
      return str(value).lower()
    case tuple():
      return ",".join(map(str, value))
  return str(value)


# Flag -> the field of AdapterConfig that it is.
_ADAPTER_FLAGS = {f"adapter_{field.name}": field.name
                  for field in dataclasses.fields(AdapterConfig)}

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
    (("pooling", "tune_layer_norms", "tune_pooler", "prefix_cache",
      "prefix_cache_dir", "load_adapter", "save_adapter"), "tuning",
     lambda run: run.without_bert),
    (("text_embedding", "tune_embedding", "hidden_layers", "hidden_units",
      "hidden_dropout"), "tuning", lambda run: not run.without_bert),
    (("pooling", "tune_pooler"), "task_name",
     lambda run: run.known_problem in ("tagging", "span")),
    (("tune_pooler",), "pooling", lambda run: run.pooling != "pooler"),
    (("text_column", "label_column"), "task_name",
     lambda run: run.task_name not in ("tsv", "tagging")),
    (("text_pair_column", "problem_type", "label_separator"), "task_name",
     lambda run: run.task_name != "tsv"),
    (("label_separator",), "problem_type",
     lambda run: run.problem_type != "multi_label"),
    (("data_dir",), "task_name", lambda run: run.task_name == "demo"),
    (("early_stopping_epochs",), "eval_each_epoch",
     lambda run: not run.eval_each_epoch),
    (("prefix_cache_dir",), "prefix_cache", lambda run: not run.prefix_cache),
    (("null_score_diff_threshold",), "version_2_with_negative",
     lambda run: not run.version_2_with_negative),
)


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
  check_all_read(config)
  if config.without_bert:
    _check_without_bert(config)


def _check_without_bert(config: RunConfig) -> None:
  if config.known_problem in PER_TOKEN:
    raise InputError(
        f"tuning={config.tuning} has one vector for each text: it is for "
        f"classification and regression, not for task {config.task_name}, of "
        f"type {config.known_problem}")
  if not config.do_train:
    raise InputError(
        f"tuning={config.tuning} leaves no adapter file to go on with: give "
        "do_train, too")
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


def unread_adapter_flags(config: RunConfig) -> list[str]:
  """Names of adapter flags without effect, since there are no adapters.

  No mistake: `--flagfile=flags/glue/rte.flags --tuning=full` has such.
  """
  if config.adapters() is not None:
    return []
  return [name for name in ("adapter_preset", *_ADAPTER_FLAGS)
          if getattr(config, name) != getattr(RunConfig, name)]


# Flags that need not be repeated where there is no training.
_FILES = {"data_dir", "train_file", "predict_file"}
# Flags that are compared with the adapter file itself where it is loaded.
_MODEL = {
    "pooling", "do_lower_case", "tuning", "tune_layer_norms", "tune_pooler",
    "adapter_preset", *_ADAPTER_FLAGS,
}


def check_same_run(config: RunConfig, output_dir: pathlib.Path) -> None:
  """Refuses a folder that was made with other flags.

  Training has to repeat all flags of the run, evaluation and prediction those
  that say how the data is read; they must not contradict the others.

  Raises:
    InputError: the folder holds another run.
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
      raise InputError(
          f"{output_dir} holds a run with {name}={before}, not "
          f"{new.get(name)}: choose another output_dir")


def check_problem(problem_type: str, task_name: str, source: str,
                  info: AdapterInfo) -> None:
  """Refuses an adapter file that is for another kind of task."""
  if info.problem_type != problem_type:
    raise InputError(
        f"{source}: is for {info.problem_type}, but task {task_name} is "
        f"{problem_type}")


def check_flags(config: RunConfig, source: str,
                info: AdapterInfo) -> None:
  """Refuses model flags that contradict the adapter file to be loaded."""
  adapters = (config.adapters(), info.adapter_config)
  values = {
      "pooling": (config.pooling, info.pooling),
      "do_lower_case": (
          config.do_lower_case, info.tokenizer.get("lower_case")),
      **{flag: tuple(getattr(one, field, None) for one in adapters)
         for flag, field in _ADAPTER_FLAGS.items()}}
  given = {field.name for field in dataclasses.fields(RunConfig)
           if getattr(config, field.name) != field.default}
  for name, (ours, theirs) in values.items():
    # A preset speaks for all flags of the adapters.
    flag = name
    if name in _ADAPTER_FLAGS and name not in given:
      flag = "adapter_preset"
    if flag in given and ours != theirs:
      raise InputError(
          f"{source}: was made with {name}={theirs}, not {ours}: leave {flag} "
          "out")
  tuning = str(Tuning.parse(
      config.tuning, config.tune_layer_norms, config.tune_pooler))
  if tuning not in (RunConfig.tuning, info.tuning):
    raise InputError(
        f"{source}: was made with tuning={info.tuning}, not {tuning}: leave "
        "the flag out")
