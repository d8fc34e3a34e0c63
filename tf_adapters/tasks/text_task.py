"""A task in one object: encoder, model, training, predictions, file.

A thin class on top of the Keras models: the training is `training.trainer`'s,
the file `adapter_files`', the decision the type of problem's.
"""

import dataclasses
import numbers
import os
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Self

from tf_adapters.adapter_files.adapter_file import load_adapter, save_adapter
from tf_adapters.checkpoints.loading import load_encoder
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.splits import Examples
from tf_adapters.data.squad_options import SquadOptions, with_options
from tf_adapters.errors import InputError, names_arguments, warn
from tf_adapters.modeling.label_types import Label, label_name, label_value
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.task_description import TaskDescription
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.problems import find_problem
from tf_adapters.problems.prediction import Prediction
from tf_adapters.tasks import evaluating, fitting
from tf_adapters.tasks.evaluated import rows_to_evaluate, with_labels_of
from tf_adapters.tasks.evaluation import Evaluation
from tf_adapters.tasks.frame_forms import index_of, like, rows_of, table
from tf_adapters.tasks.predicting import Predictor
from tf_adapters.tasks.seeds import seeded

_ADAPTER_SIZE = 64
_LONGEST_WINDOW = 384  # as BERT's code reads SQuAD


class TextTask:
  """A task on an encoder, to train, evaluate and predict with.

  Args:
    encoder: what `load_encoder` takes: an alias, a URL, a folder.
    data: the task's data.
    adapter_size: bottleneck size of its adapters; None for 64.
    method: another method, a `LoraConfig` for instance; None for bottleneck
      adapters.
    max_length: longest text in wordpieces; longer ones are cut. None for 128,
      for spans 384, or as many as the encoder has positions for.
    pooling: "pooler", "cls" or "mean"; "auto" for what the encoder was made
      for.
    seed: of the weights that are new.

  Attributes:
    model: the Keras model; its `task` says what is known of the task.
    data: the task's data; None for a task that was loaded without any.
    history: what each epoch came to, name -> values, as that of Keras: "loss",
      and "val_accuracy" and the like for the metrics of the validation split.
    best_epoch: the epoch whose weights the model has, from 1; None where no
      validation split chose one.

  Raises:
    InputError: the encoder cannot be loaded, both a size and a method are
      given, or the data and the encoder do not go together.

  Example:
    >>> data = Dataset.from_dataframe(
    ...     df, text="ticket_text", label="team", validation=0.15, test=0.15)
    >>> task = TextTask("minilm_l6", data).fit()
    >>> task.predict(["The invoice is wrong."])
    ['billing']
  """

  def __init__(self, encoder: str | os.PathLike[str], data: Dataset,
               adapter_size: int | None = None, method: Method | None = None,
               max_length: int | None = None, pooling: str = "auto",
               seed: int = 0):
    if isinstance(encoder, Dataset):
      raise InputError("TextTask(encoder, data): the encoder comes first, and "
                       "then the data")
    if not isinstance(data, Dataset):
      raise InputError(
          f"TextTask(encoder, data): data is a {type(data).__name__}, and a "
          "Dataset is wanted, which ta.Dataset.from_dataframe, from_lists and "
          "from_file make")
    if not isinstance(method, Method | None):
      raise InputError(
          f"method is a {type(method).__name__}: a configuration is wanted, "
          "such as ta.LoraConfig(rank=8)")
    if method is not None and adapter_size is not None:
      raise InputError("adapter_size is of bottleneck adapters: method says "
                       "its own size")
    problem = find_problem(data.problem_type)
    split = next(iter(data.splits), "train")
    with seeded(seed):
      loaded = load_encoder(
          encoder, method or AdapterConfig(
              _ADAPTER_SIZE if adapter_size is None else adapter_size))
      model = problem.make_model(loaded, data.labels, pooling)
    if max_length is None and problem.outputs == "windows":
      max_length = min(_LONGEST_WINDOW, loaded.config.longest_text)
    text = loaded.text_processor(max_length)
    if problem.outputs == "windows":
      data = with_options(data, SquadOptions.from_dict(data.span or {}).fitted(
          text.max_length))
    for part in data.splits.values():
      part.check(text)
    model.task = TaskDescription(
        data.name, data.labels, text.max_length, data.split(split).pairs,
        data.span, label_type=data.label_type)
    self._set(model, data)

  def _set(self, model: TaskModel, data: Dataset | None) -> None:
    self.model = model
    self.data = data
    self.history: dict[str, list[float]] = {}
    self.best_epoch: int | None = None
    self._text = model.encoder.text_processor(model.task.max_length)

  def __repr__(self) -> str:
    problem = self.model.problem_type
    labels = f", {len(self.model.labels)} labels" if self.model.labels else ""
    origin = self.model.encoder.origin
    trained = "trained" if self.model.is_trained else "not trained yet"
    return (f"TextTask({self.model.task.name!r}, {problem}{labels}, "
            f"{self.model.encoder.tuning} on {origin and origin.source}, "
            f"{trained})")

  @property
  def labels(self) -> list[Label]:
    """The labels, as they were in the data."""
    return self._predictor.labels()

  @property
  def thresholds(self) -> Mapping[Label, float]:
    """Label -> the probability above which it is predicted.

    Of tasks on any number of labels; 0.5 for others. Banks and SavedModels go
    by them. `task.thresholds = {**task.thresholds, "a": 0.3}` changes one, and
    forgets metrics of others. Another `fit` forgets thresholds.

    Raises:
      InputError: at an assignment: there is no such label, a threshold is not
        between 0 and 1, or texts have one label each.
    """
    described = self.model.task
    return types.MappingProxyType({
        label_value(name, described.label_type): value
        for name, value in described.thresholds.items()})

  @thresholds.setter
  def thresholds(self, thresholds: Mapping[Any, float]) -> None:
    if self.model.problem_type != "multi_label":
      raise InputError("thresholds are for multi_label, not for "
                       f"{self.model.problem_type}")
    chosen = {label_name(label): float(value)
              for label, value in thresholds.items()}
    if chosen != self.model.task.thresholds:
      self.model.task = dataclasses.replace(
          self.model.task, thresholds=chosen, metrics={})

  @names_arguments(
      lr="learning_rate", num_epochs="epochs", num_train_epochs="epochs",
      train_batch_size="batch_size", class_weights="class_weight",
      patience="early_stopping", early_stopping_epochs="early_stopping",
      random_state="seed")
  def fit(self, epochs: int | None = None, batch_size: int = 32,
          learning_rate: float | None = None,
          class_weight: str | Mapping[Any, float] | None = None,
          early_stopping: bool | int = True, seed: int = 0,
          verbose: bool = True) -> Self:
    """Trains on the training split, and keeps the best epoch.

    The best epoch is that with the highest first metric on the validation
    split; without such a split the last one is kept. Another call goes on from
    where this one ended. One that fails, or that Ctrl-C stops, leaves the task
    as it was.

    Args:
      epochs: passes over the training split; None for 3, or as many as make 300
        steps, up to 50.
      batch_size: texts in a step.
      learning_rate: the highest, of AdamW with warm-up and linear decay; None
        for what suits the method and the encoder's width.
      class_weight: "balanced" for labels to weigh the more the rarer they are;
        or label -> weight, 1 where there is none.
      early_stopping: whether to end when the validation split has not got
        better for a third of the epochs, three at least; or for how many.
      seed: of dropout and the order of the rows.
      verbose: whether to print a line for each epoch.

    Returns:
      The task itself.

    Raises:
      InputError: there is no training split, an argument is out of range, or
        the loss is not finite.
    """
    if not isinstance(epochs, numbers.Number | None):
      raise InputError(
          f"fit takes no {type(epochs).__name__}: it trains on the data that "
          "the task was made with, TextTask(encoder, data).fit()")
    data = self.data
    if data is None:
      raise InputError("fit needs data: TextTask.load(path, data=data)")
    config = fitting.configuration(
        data, epochs, batch_size, learning_rate, early_stopping, seed)
    weights = None if class_weight is None else data.class_weight(class_weight)
    for doubt in fitting.doubts_before(self.model, data):
      warn(doubt, stacklevel=3)
    progress = fitting.train(
        self.model, data, self._text, config, weights, verbose)
    self.history = fitting.history_of(progress)
    best = progress.best_epoch
    self.best_epoch = None if best is None else best + 1
    self.model.task = fitting.measured(self.model, data, progress)
    for doubt in progress.warnings:
      warn(fitting.by_arguments(doubt), stacklevel=3)
    return self

  def predict(self, texts: Any, batch_size: int = 64) -> Any:
    """Predicts texts.

    Args:
      texts: a list, an array or a Series of texts; of pairs a list of (first,
        second) or a DataFrame of two columns; for tagging of lists of words,
        or of texts whose words have blanks between them. What is missing, None
        or NaN, has no prediction: None.
      batch_size: texts that are computed at once.

    Returns:
      A list, or a Series with the same index where pandas' were given: labels
      as they were in the data; tuples of labels; numbers; lists of tags;
      answers.

    Raises:
      InputError: the texts are something else.
    """
    rows, found = self._predictions(texts, batch_size)
    values = [one and self._value(one) for one in _spread(rows, found)]
    return like(values, texts, self.model.task.name)

  def predict_proba(self, texts: Any, batch_size: int = 64) -> Any:
    """Predicts the probabilities of labels, tags or answers.

    Args:
      texts, batch_size: as for `predict`.

    Returns:
      A DataFrame with a column for each label, and the index of a Series or
      DataFrame that was given; without pandas a list of dicts. For tagging a
      list, for each text of a dict for each word; for spans one of {answer:
      probability} for each text.

    Raises:
      InputError: the texts are something else, or the task is on numbers.
    """
    if self.model.problem_type == "regression":
      raise InputError("regression has no probabilities: predict(texts) has "
                       "the numbers")
    rows, found = self._predictions(texts, batch_size)
    spread = _spread(rows, found)
    if find_problem(self.model.problem_type).outputs != "texts":
      return [one and (
          one.probabilities if isinstance(one.probabilities, Mapping)
          else [dict(tags) for _, tags in one.probabilities])
              for one in spread]
    return table({label: [one and one.probabilities[name] for one in spread]
                  for label, name in zip(self.labels, self.model.labels)},
                 index_of(texts))

  def predictions(self, texts: Any,
                  batch_size: int = 64) -> list[Prediction[Any, Any]]:
    """Predicts texts with all that is known of each; see `Prediction`.

    Args:
      texts, batch_size: as for `predict`; texts that are missing are left out.

    Raises:
      InputError: the texts are something else.
    """
    return self._predictions(texts, batch_size)[1]

  def evaluate(self, data: Dataset | Examples | str | None = None,
               batch_size: int = 64) -> Evaluation:
    """Evaluates the task on a split.

    Args:
      data: name of one of the task's own splits, or one of them, such as
        `data.test`; or another dataset, of which the test split is taken, else
        the validation split, else all rows. None for the task's own data.
      batch_size: texts that are computed at once.

    Returns:
      An evaluation, which shows itself as a table: `.metrics`, `.per_class`,
      `.confusion_matrix`, `.calibration`, `.mistakes(20)`, `.plot()`, and what
      else the type of problem has; see `Evaluation` and its subclasses.

    Raises:
      InputError: there is no such split, it has no labels, or others.

    Example:
      >>> task.evaluate("test").mistakes(20)
    """
    rows, split = rows_to_evaluate(self.model, self.data, data)
    self._warn_if_untrained(2)
    return evaluating.evaluate(
        dataclasses.replace(self._predictor, batch_size=batch_size), rows,
        split)

  def plot(self) -> Any:
    """Draws the learning curves, a figure of matplotlib.

    Raises:
      InputError: nothing was trained yet.
    """
    if not self.history:
      raise InputError("there are no learning curves: fit() makes them")
    from tf_adapters.tasks import evaluation_plots
    return evaluation_plots.of_history(
        self.history, self.best_epoch, self.model.task.name)

  def save(self, path: str | os.PathLike[str],
           name: str | None = None) -> pathlib.Path:
    """Writes the task's adapter file; see `save_adapter`.

    Args:
      path: the folder to write.
      name: what banks call the task; None for the folder's name.

    Raises:
      InputError: there is something else, or it cannot be written.
    """
    return save_adapter(
        self.model, path, name or pathlib.Path(path).resolve().name)

  @classmethod
  def load(cls, path: str | os.PathLike[str],
           encoder: str | os.PathLike[str] | None = None,
           data: Dataset | None = None,
           labels: Sequence[str] | None = None) -> Self:
    """Loads a task from its adapter file, whatever library wrote it.

    Args:
      path: the file.
      encoder: where the encoder is; None for where it was.
      data: to train on or to be evaluated on.
      labels: as for `load_adapter`.

    Raises:
      InputError: the file cannot be read, was made for another encoder, or the
        data has other labels.
    """
    model = load_adapter(path, encoder, labels=labels)
    task = cls.__new__(cls)
    task._set(model, None)
    if data is not None:
      task.data = with_labels_of(model, data)
    return task

  @property
  def _predictor(self) -> Predictor:
    return Predictor(self.model, self._text)

  def _predictions(self, texts: Any, batch_size: int) -> tuple[
      list[Any], list[Prediction[Any, Any]]]:
    problem = find_problem(self.model.problem_type)
    rows = rows_of(texts, problem.takes_pairs(self.model.task.pairs),
                   problem.outputs == "words")
    predictor = dataclasses.replace(self._predictor, batch_size=batch_size)
    self._warn_if_untrained(3)
    there = [row for row in rows if row is not None]
    if len(there) < len(rows):
      warn(f"{len(rows) - len(there):,} of {len(rows):,} texts are missing, "
           "and have no prediction", stacklevel=3)
    return rows, predictor.predictions(there)

  def _warn_if_untrained(self, stacklevel: int) -> None:
    if not self.model.is_trained:
      warn("the task was never trained, so its predictions are by chance: "
           "fit() trains it", stacklevel + 1)

  def _value(self, prediction: Prediction[Any, Any]) -> Any:
    """Returns the value of a prediction, as the data has it."""
    kind, value = self.model.task.label_type, prediction.value
    match self.model.problem_type:
      case "classification":
        return label_value(value, kind)
      case "multi_label":
        return tuple(label_value(name, kind) for name in value)
      case "tagging":
        return [tag for _, tag in value]
    return value


def _spread(rows: Sequence[Any],
            found: Sequence[Prediction[Any, Any]]) -> list[Any]:
  """Puts predictions at the places of their texts; None for those missing."""
  left = iter(found)
  return [None if row is None else next(left) for row in rows]
