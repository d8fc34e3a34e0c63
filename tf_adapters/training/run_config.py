"""Configurations of runs, whose fields are the flags of a tool.

They are known without TensorFlow, which takes seconds to import. `run_checks`
refuses what cannot be run; `run` has the steps of a run.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tf_adapters.checkpoints.sources import ALIASES
from tf_adapters.data import own_files
from tf_adapters.data.bad_rows import ON_BAD_ROW
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import UTF_8
from tf_adapters.data.folders import data_folder
from tf_adapters.data.loading import TASK_NAMES, load_task
from tf_adapters.data.sampling import hold_out
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.files.reading import check_is_file
from tf_adapters.modeling.config import (
  AUTO_POOLING,
  DEFAULT_MAX_LENGTH,
  POOLINGS,
  option,
  option_of,
  options,
)
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.modeling.network_config import NetworkConfig
from tf_adapters.modeling.tuning import NETWORK, TUNINGS, Tuning
from tf_adapters.training.training_config import STRATEGIES, TrainingConfig

DEFAULT_ENCODER = "bert_base_uncased"
_LONGEST_WINDOW = 384  # as BERT's code reads SQuAD


def flag_text(value: object) -> str:
  """Returns a flag's value as it stands on a command line."""
  match value:
    case bool():
      return str(value).lower()
    case tuple():
      return ",".join(map(str, value))
  return str(value)


def method_flags(method: type[Method]) -> dict[str, str]:
  """Returns {flag: the option of a method's configuration that it is}.

  Example:
    >>> method_flags(AdapterConfig)["adapter_size"]
    'size'
  """
  return {f"{method.suffix}_{name}": name for name in options(method)}


def _method_fields(
    method: type[Method]) -> Iterator[tuple[str, Any, Any]]:
  """Yields a run's fields for a method's configuration: preset and options.

  They are None for what the preset, or else the configuration, has:
  `adapter_size` is `AdapterConfig.size` where it is given.
  """
  default = next(iter(method.PRESETS), "default")
  if method.PRESETS:
    presets = "; ".join(
        f"{name}: {preset.help}" for name, preset in method.PRESETS.items())
    yield f"{method.suffix}_preset", str, option(
        default, f"Values of the other {method.suffix} flags, if they are not "
        f"given. {presets}.", choices=tuple(method.PRESETS))
  for flag, name in method_flags(method).items():
    field = vars(method)["__dataclass_fields__"][name]
    text = field.metadata["help"]
    if field.default is not None:
      text += f" ({default}: {flag_text(field.default)})"
    yield flag, field.type | None, dataclasses.field(
        default=None, metadata={**field.metadata, "help": text})


_MethodOptions: Any = dataclasses.make_dataclass("_MethodOptions", [
    field for method in METHODS.values() for field in _method_fields(method)],
    frozen=True)


@dataclasses.dataclass(frozen=True)
class RunConfig(TrainingConfig, _MethodOptions):
  """One run; the names are the flags'. See `tf-adapters glue --help`.

  What is None of a method's options is its preset's. `encoder` and
  `max_seq_length` are None for the saved adapter's, or for the defaults below
  where there is none.

  Attributes:
    task_name: what the task is called.
    known_problem: the type of problem, where it is known before the data is
      read.
  """

  output_dir: str = option(
      "", "Folder for the output. A run writes results.json, adapter/, "
      "predictions/, checkpoints/ and tensorboard/. The same command resumes a "
      "run or a sweep that was stopped.")
  overwrite: bool = option(
      False, "Replace what is there already. A run begins anew if output_dir "
      "holds another one. A file or a SavedModel is replaced when the new one "
      "is complete.")
  do_train: bool = option(False, "Train.")
  do_eval: bool = option(
      False, "Evaluate on every labelled validation and test split.")
  do_predict: bool = option(
      False, "Write predictions for the test split; for GLUE tasks as the GLUE "
      "server takes them.")
  encoder: str | None = option(
      None, f"The pretrained encoder. An alias ({', '.join(ALIASES[:4])}, "
      "small_bert_L-2_H-128, ...), a TF Hub or Kaggle Models URL or handle, or "
      "a repository of the Hugging Face Hub (hf://owner/name). Or the folder "
      "or file of a Hub SavedModel, a TF1 Hub module, a TF1 or Model Garden "
      "checkpoint, a Hugging Face model, or a KerasHub preset.")
  vocab_file: str | None = option(
      None, "A vocab.txt to use instead of the encoder's own.")
  do_lower_case: bool | None = option(
      None, "Whether text is lower-cased. Default: what the encoder says.")
  pooling: str = option(
      AUTO_POOLING, "Input of the head: BERT's pooler on the first token "
      "(pooler), the first token's output (cls), or the mean of all tokens' "
      "outputs (mean). auto is what the encoder was made for: mean or cls for "
      "a sentence encoder, mean if the pooler was never trained, else pooler. "
      "tf-adapters inspect says which.", choices=(AUTO_POOLING, *POOLINGS))
  tuning: str = option(
      "adapters", "What trains, beside the head: "
      f"{', '.join(TUNINGS)}.", check=Tuning.parse)
  method: str = option(
      "bottleneck", "Method that --tuning=adapters puts into the encoder.",
      choices=tuple(METHODS))
  tune_layer_norms: bool | None = option(
      None, "Train or freeze BERT's layer norms. Default: as --tuning does.")
  tune_pooler: bool | None = option(
      None, "Train or freeze BERT's pooler. Default: as --tuning does.")
  text_network: bool = option(
      False, "Train a network on embedded texts in the encoder's place: the "
      "paper's baseline without BERT, for classification and regression.")
  text_embedding: str | None = option(
      None, "--text_network: a TF Hub module that makes vectors of texts, as a "
      "URL, a handle such as google/nnlm-en-dim128/2, or a SavedModel's "
      "folder. The module is a program, and is run. (the mean of the "
      "--encoder's word embeddings)")
  tune_embedding: bool = option(
      False, "--text_network: train the embedding, too.")
  hidden_layers: int = option_of(NetworkConfig, "hidden_layers")
  hidden_units: int = option_of(NetworkConfig, "hidden_units")
  hidden_dropout: float = option_of(NetworkConfig, "hidden_dropout")
  load_adapter: str | None = option(
      None, "Adapter file to evaluate or predict with; without it "
      "output_dir/adapter.")
  save_adapter: bool = option(
      True, "Save the tuned weights in output_dir/adapter after training.")
  max_seq_length: int | None = option(
      None, "Longest input in wordpieces; longer texts are cut. Default: the "
      f"saved adapter's, else {DEFAULT_MAX_LENGTH} (384 for SQuAD).", least=5,
      most=512)
  max_train_examples: int | None = option(
      None, "Train on this many examples, drawn by the seed; all without it.",
      least=1)
  on_bad_row: str = option(
      "error", "Leave rows out that cannot be used and count them by reason "
      "(skip), or stop at the first one and name it (error). Such rows have no "
      "text, an unknown label, another number of columns and so on. In a GLUE "
      "test file they are always an error: the server wants a prediction for "
      "each row.", choices=ON_BAD_ROW)
  encoding: str = option(
      UTF_8, "Encoding of the data's files: utf-8, windows-1252, latin-1, "
      "gb18030, utf-16 or any other one that Python knows. The files of the "
      "paper's 17 tasks are read as they were published.")
  distribution_strategy: str = option(
      "off", "The tf.distribute strategy: one_device; mirrored, a replica on "
      "each GPU; multi_worker_mirrored, on several machines that TF_CONFIG "
      "names; tpu. Batch sizes are those of all replicas together.",
      choices=STRATEGIES)
  tpu: str | None = option(
      None, "Name or address of the TPU, or local, for "
      "--distribution_strategy=tpu.")
  num_replicas: int | None = option(
      None, "Replicas that share the CPU, to try "
      "--distribution_strategy=mirrored on a machine without GPUs.",
      least=1, most=64)
  mixed_precision: str = option(
      "off", "Compute in bfloat16; variables, layer norms and logits stay "
      "float32.", choices=("off", "bfloat16"))
  keep_checkpoints: bool = option(
      True, "Keep output_dir/checkpoints after a finished run.")

  def __post_init__(self) -> None:
    super().__post_init__()
    # What version 0.1 had instead of --text_network.
    tuning = Tuning.parse(self.tuning)
    if tuning.method == NETWORK:
      for name, value in (
          ("text_network", True), ("tuning", type(self).tuning),
          ("tune_embedding", self.tune_embedding or bool(tuning.embedding))):
        object.__setattr__(self, name, value)

  @property
  def compiled(self) -> bool:
    return self.jit_compile or self.distribution_strategy == "tpu"

  def flag_lines(self) -> list[str]:
    """Returns the run as lines of a flag file."""
    lines = []
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      # A run that is called by its own flag file goes on.
      if value is not None and field.name != "overwrite":
        lines.append(f"--{field.name}={flag_text(value)}")
    return lines

  def method_config(self) -> Method | None:
    """Returns the configuration of the method, or None where none is trained.

    Raises:
      InputError: a value is out of range.
    """
    if self.what_trains.method != "adapters":
      return None
    method = METHODS[self.method]
    given = {name: getattr(self, flag)
             for flag, name in method_flags(method).items()}
    given = {name: value for name, value in given.items() if value is not None}
    if not method.PRESETS:
      return method(**given)
    return method.preset(getattr(self, f"{method.suffix}_preset"), **given)

  @property
  def what_trains(self) -> Tuning:
    """The tuning, by all the flags that say what trains."""
    if self.text_network:
      return Tuning.parse(NETWORK, embedding=self.tune_embedding or None)
    return Tuning.parse(
        self.tuning, self.tune_layer_norms, self.tune_pooler)

  def dtype(self, tuning: Tuning) -> str:
    """Returns the type that an encoder computes in, see `load_encoder`.

    Args:
      tuning: what trains.
    """
    if self.mixed_precision == "off":
      return "float32"
    return "mixed_bfloat16" if tuning.trains_base() else "bfloat16"

  def network(self) -> NetworkConfig | None:
    """Returns the configuration of a `TextNetwork`, or None without one.

    Raises:
      InputError: a value is out of range.
    """
    if not self.text_network:
      return None
    return NetworkConfig(
        self.hidden_layers, self.hidden_units, self.hidden_dropout)

  @property
  def known_problem(self) -> str | None:
    return None

  @property
  def default_max_seq_length(self) -> int:
    """The length that a `max_seq_length` of None means."""
    return (_LONGEST_WINDOW if self.known_problem == "span"
            else DEFAULT_MAX_LENGTH)

  def check_data(self) -> None:
    """Refuses data that is not there; reads names of columns at most.

    Raises:
      InputError: so it is.
    """
    raise NotImplementedError

  def fitted(self, task: Dataset, max_length: int,
             span: Mapping[str, Any] | None) -> Dataset:
    """Fits a task's options to its model; here they do already.

    Args:
      task: the task.
      max_length: longest input in wordpieces.
      span: what an adapter file says of spans.
    """
    del max_length, span
    return task

  def load_task(self, labels: Sequence[str] | None = None) -> Dataset:
    """Loads the task with its data.

    Args:
      labels: names in order, where an adapter file says them.

    Raises:
      InputError: the data cannot be read.
    """
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class GlueRunConfig(RunConfig):
  """A run on one of `data.loading.TASK_NAMES`."""

  task_name: str = option(
      "", "The task. A GLUE task; one of the paper's 17 others; demo, the "
      "sentiment of tweets from a package; tsv, your own .tsv or .csv files; "
      "tagging, your own CoNLL files.", choices=TASK_NAMES)
  data_dir: str | None = option(
      None, "Folder of the task's files: the classic TSV files of a GLUE task, "
      "or the folder that holds all tasks' folders. Without it GLUE tasks are "
      "downloaded with tensorflow_datasets.")
  holdout: float = option(
      0.0, "Part of the training rows that validates, the same rows for every "
      "seed; 0 for none. A published validation split becomes a test split. "
      "It is for data of one file only, and for choosing between runs where "
      "test labels are hidden, as GLUE's are.", least=0, most=0.9)
  text_column: str = option(
      "text", "Name of the texts' column. Task tagging: number of the words' "
      "column, from 1. Default: the first one, or the second if the first "
      "one counts the words.")
  text_pair_column: str | None = option(
      None, "Name of the column of each pair's second text.")
  label_column: str = option(
      "label", "Name of the labels' column. With --problem_type=multi_label "
      "the names of several columns of 0 and 1, one for each label. Task "
      "tagging: number of the tags' column, from 1. Default: the last one.")
  label_separator: str = option(
      ",", "multi_label: separator between the labels of a cell. Lists such as "
      "['a', 'b'] need none.")
  problem_type: str = option(
      "classification", "Labels: one for each text (classification), any "
      "number (multi_label), or a number as the label (regression).",
      choices=tuple(own_files.METRICS))

  @property
  def known_problem(self) -> str | None:
    return {"tagging": "tagging", "tsv": self.problem_type}.get(self.task_name)

  def check_data(self) -> None:
    if self.data_dir is not None:
      data_folder(self.data_dir)
      if self.task_name == "tsv":
        own_files.check_columns(
            self.data_dir, self.text_column, self.text_pair_column,
            self.label_column, self.problem_type, self.encoding)

  def load_task(self, labels: Sequence[str] | None = None) -> Dataset:
    task = load_task(
        self.task_name, self.data_dir, self.text_column, self.text_pair_column,
        self.label_column, self.problem_type, labels, self.label_separator,
        self.on_bad_row, self.encoding)
    return hold_out(task, self.holdout) if self.holdout else task


@dataclasses.dataclass(frozen=True)
class SquadRunConfig(RunConfig):
  """A run on SQuAD v1.1 or v2.0."""

  train_file: str | None = option(
      None, "JSON file of the questions to train on.")
  predict_file: str | None = option(
      None, "JSON file of the questions to answer and, where it has answers, "
      "to evaluate on.")
  version_2_with_negative: bool = option_of(SquadOptions, "version_2")
  doc_stride: int = option_of(SquadOptions, "doc_stride")
  max_query_length: int = option_of(SquadOptions, "max_query_length")
  n_best_size: int = option_of(SquadOptions, "n_best_size")
  max_answer_length: int = option_of(SquadOptions, "max_answer_length")
  null_score_diff_threshold: float = option_of(
      SquadOptions, "null_score_diff_threshold")

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

  def load_task(self, labels: Sequence[str] | None = None) -> Dataset:
    from tf_adapters.data import squad  # needs TensorFlow
    del labels
    return squad.load(
        self.train_file if self.do_train else None, self.predict_file,
        SquadOptions(
            self.version_2_with_negative, self.doc_stride,
            self.max_query_length, self.n_best_size, self.max_answer_length,
            self.null_score_diff_threshold), self.on_bad_row,
        self.encoding)
