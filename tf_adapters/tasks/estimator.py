"""A scikit-learn estimator: texts in, labels out.

For cross-validation, pipelines and searches, which clone estimators and set
their parameters. Whoever wants evaluations and files takes a `TextTask`.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from tf_adapters.data.dataset import Dataset
from tf_adapters.data.frames import plain
from tf_adapters.errors import InputError
from tf_adapters.modeling.methods.method import Method
from tf_adapters.tasks.text_task import TextTask


class TextTaskClassifier(ClassifierMixin, BaseEstimator):
  """A classifier of texts, as scikit-learn has them, on a frozen encoder.

  Args:
    encoder: what `load_encoder` takes.
    adapter_size: bottleneck size of its adapters; None for 64.
    method: another method, a `LoraConfig` for instance.
    max_length: longest text in wordpieces.
    pooling: see `TextTask`.
    epochs, batch_size, learning_rate, class_weight: see `TextTask.fit`.
    validation_fraction: part of the rows that chooses the best epoch and ends
      the training early; 0 for none: the last epoch is kept.
    random_state: seed of everything; None for one by chance, or a RandomState
      that gives one.
    verbose: whether to print a line for each epoch.

  Attributes:
    classes_: the labels, sorted.
    task_: the `TextTask`.
    n_features_in_: 1: a text.

  Example:
    >>> from sklearn.model_selection import cross_val_score
    >>> cross_val_score(TextTaskClassifier("minilm_l6"), df.text, df.label)
  """

  def __init__(self, encoder: Any = "minilm_l6",
               adapter_size: int | None = None, method: Method | None = None,
               max_length: int | None = None, pooling: str = "auto",
               epochs: int | None = None, batch_size: int = 32,
               learning_rate: float | None = None,
               class_weight: str | Mapping[Any, float] | None = None,
               validation_fraction: float = 0.0, random_state: Any = 0,
               verbose: bool = False):
    # As scikit-learn wants it: nothing but the parameters as they are given.
    self.encoder = encoder
    self.adapter_size = adapter_size
    self.method = method
    self.max_length = max_length
    self.pooling = pooling
    self.epochs = epochs
    self.batch_size = batch_size
    self.learning_rate = learning_rate
    self.class_weight = class_weight
    self.validation_fraction = validation_fraction
    self.random_state = random_state
    self.verbose = verbose

  def __sklearn_tags__(self) -> Any:
    tags = super().__sklearn_tags__()
    tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    tags.input_tags.one_d_array = True
    return tags

  def fit(self, X: Any, y: Any) -> Self:
    """Trains on texts.

    Args:
      X: texts: a list, an array or a Series, or a table of one column.
      y: a label for each: strings, integers or booleans.

    Raises:
      InputError: they are something else, or not as many as each other; or y
        has one label only.
    """
    if y is None:
      raise InputError("requires y to be passed, but the target y is None: a "
                       "label for each text is wanted")
    texts = _texts(X)
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    if len(texts) != len(labels):
      raise InputError(f"{len(texts)} texts, but {len(labels)} labels")
    classes = np.unique(labels)
    _check_differ(classes)
    seed = self.random_state
    if seed is None or isinstance(seed, np.random.RandomState):
      seed = int(check_random_state(seed).randint(2**31 - 1))
    data = Dataset.from_lists(
        texts, labels, problem_type="classification",
        validation=self.validation_fraction, seed=seed, on_bad_row="error")
    task = TextTask(
        self.encoder, data, self.adapter_size, self.method, self.max_length,
        self.pooling, seed)
    task.fit(
        self.epochs, self.batch_size, self.learning_rate, self.class_weight,
        seed=seed, verbose=self.verbose)
    # Together: a training that is stopped leaves what was fitted before.
    self.task_, self.classes_, self.n_features_in_ = task, classes, 1
    return self

  def predict(self, X: Any) -> np.ndarray:
    """Predicts the label of each text, [texts]."""
    probabilities = self.predict_proba(X)  # which says what is not fitted
    return self.classes_[probabilities.argmax(axis=1)]

  def predict_proba(self, X: Any) -> np.ndarray:
    """Predicts the probability of each of `classes_`, [texts, labels].

    Raises:
      NotFittedError: nothing was trained.
      InputError: the texts are something else.
    """
    check_is_fitted(self, "task_")
    found = self.task_.predictions(_texts(X))
    order = _order(self.task_.labels, self.classes_)
    return np.array([list(one.probabilities.values()) for one in found],
                    np.float64).reshape(-1, len(order))[:, order]


def _texts(X: Any) -> list[str]:
  """Returns the texts of what scikit-learn may give: lists, arrays, tables.

  Raises:
    InputError: something is no text; says which.
  """
  if isinstance(X, str | bytes):
    raise InputError("a list of texts is wanted, not a single one: give [text]")
  shape = tuple(getattr(X, "shape", ()))
  if hasattr(X, "columns") or len(shape) > 1:
    if len(shape) != 2 or shape[1] != 1:
      raise InputError(f"a column of texts is wanted, not an array of shape "
                       f"{shape}: give one column, such as df['text']")
    X = X.to_numpy() if hasattr(X, "to_numpy") else X
    X = X[:, 0]
  texts = [plain(text) for text in X]
  for row, text in enumerate(texts):
    if not isinstance(text, str):
      raise InputError(f"text {row}: a string is wanted, not {text!r:.40}")
  if not texts:
    raise InputError("there are 0 texts, and one at least is required")
  return texts


def _check_differ(classes: np.ndarray) -> None:
  """Refuses labels of which a task makes one; says which."""
  names: dict[Any, Any] = {}
  for one in map(plain, classes):
    other = names.setdefault(_label(one), one)
    if other != one:
      raise InputError(f"labels {other!r} and {one!r} differ in blanks alone")


def _order(labels: list[Any], classes: np.ndarray) -> list[int]:
  """Returns the place among a task's labels of each class."""
  return [labels.index(_label(one)) for one in map(plain, classes)]


def _label(one: Any) -> Any:
  """Returns the label that a task makes of a class: without blanks around it.
  """
  return one.strip() if isinstance(one, str) else one
