"""What a run is: a configuration whose fields are the flags of a tool.

It is known without TensorFlow, which takes seconds to import. What no run can
be is in `run_checks`, what a run does in `run`.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from tf_adapters.data.folders import data_folder
from tf_adapters.data.loading import load_task
from tf_adapters.data.sampling import hold_out
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.data.tasks import Task
from tf_adapters.files.reading import check_is_file
from tf_adapters.modeling.config import AUTO_POOLING
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.network_config import NetworkConfig
from tf_adapters.modeling.tuning import NO_BERT, Tuning
from tf_adapters.training.training_config import TrainingConfig

DEFAULT_ENCODER = "bert_base_uncased"


@dataclasses.dataclass(frozen=True)
class RunConfig(TrainingConfig):
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
  pooling: str = AUTO_POOLING
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
  encoding: str = "utf-8"
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

  def check_data(self) -> None:
    """Raises InputError where the data is not there; does not read it."""
    raise NotImplementedError

  def load_task(self, labels: Sequence[str] | None = None) -> Task:
    """The task with its data.

    Args:
      labels: names in order, where an adapter file says them.

    Raises:
      InputError: the data cannot be read.
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

  def check_data(self) -> None:
    if self.data_dir is not None:
      data_folder(self.data_dir)

  def load_task(self, labels: Sequence[str] | None = None) -> Task:
    task = load_task(
        self.task_name, self.data_dir, self.text_column, self.text_pair_column,
        self.label_column, self.problem_type, labels, self.label_separator,
        self.on_bad_row, self.encoding)
    return hold_out(task, self.holdout) if self.holdout else task


@dataclasses.dataclass(frozen=True)
class SquadRunConfig(RunConfig):
  """A run on SQuAD v1.1 or v2.0."""

  default_max_seq_length: ClassVar[int] = 384

  train_file: str | None = None
  predict_file: str | None = None
  version_2_with_negative: bool = False
  doc_stride: int = SquadOptions.doc_stride
  max_query_length: int = SquadOptions.max_query_length
  n_best_size: int = SquadOptions.n_best_size
  max_answer_length: int = SquadOptions.max_answer_length
  null_score_diff_threshold: float = (
      SquadOptions.null_score_diff_threshold)

  @property
  def task_name(self) -> str:
    return "squad_v2" if self.version_2_with_negative else "squad"

  @property
  def known_problem(self) -> str | None:
    return "span"

  def check_data(self) -> None:
    for path in (self.train_file if self.do_train else None, self.predict_file):
      if path is not None:
        check_is_file(path)

  def load_task(self, labels: Sequence[str] | None = None) -> Task:
    from tf_adapters.data import squad  # needs TensorFlow
    del labels
    return squad.load(
        self.train_file if self.do_train else None, self.predict_file,
        SquadOptions(
            self.version_2_with_negative, self.doc_stride,
            self.max_query_length, self.n_best_size, self.max_answer_length,
            self.null_score_diff_threshold), self.on_bad_row,
        self.encoding)


def flag_text(value: object) -> str:
  """A flag's value as it stands on a command line."""
  match value:
    case bool():
      return str(value).lower()
    case tuple():
      return ",".join(map(str, value))
  return str(value)
