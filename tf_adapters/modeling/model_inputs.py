"""Checks what models are given, before Keras traces anything.

Looks at whatever values there are: arrays and eager tensors whole, symbolic
tensors and the elements of tf.data by their types and shapes. Nothing of this
becomes part of a graph.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_adapters.errors import InputError

# Names of the inputs elsewhere.
_OTHER_NAMES = {
    "input_ids": "input_word_ids", "attention_mask": "input_mask",
    "token_type_ids": "input_type_ids"}
_TEXTS = "encoder.text_processor()(texts) makes it"
_LABELS = "; TextTask.predict(texts) has labels"


def check_not_keras_3(what: str, *values: Any) -> None:
  """Refuses objects of Keras 3, which tf_keras cannot use.

  Args:
    what: what they are, such as "optimizer".
    *values: of any type.

  Raises:
    InputError: one of them is of the package keras.
  """
  for value in values:
    kind = value if isinstance(value, type) else type(value)
    modules = [*(base.__module__ for base in kind.__mro__),
               getattr(value, "__module__", None) or ""]
    if any(module.split(".")[0] == "keras" for module in modules):
      name = getattr(value, "__name__", kind.__name__)
      raise InputError(
          f"{what} {name}: is of Keras 3, TensorFlow's own or the package "
          "keras, which does not go with models of tf_keras: take tf_keras's "
          f"{'Input' if name == 'KerasTensor' else name}")


def with_integers(inputs: Any) -> Any:
  """Returns inputs with integers in the place of Keras' placeholders.

  Where Keras builds a model that it loads, or asks for shapes of outputs, it
  knows shapes alone, and calls with float32.

  Args:
    inputs: of a call; others than such placeholders are returned as they are.
  """
  if tf.executing_eagerly() or not isinstance(inputs, Mapping):
    return inputs
  graph = tf.compat.v1.get_default_graph().name
  if graph != "build_graph" and not graph.endswith("_scratch_graph"):
    return inputs
  return {name: tf.cast(value, tf.int32)
          if tf.is_tensor(value) and value.dtype == tf.float32
          and value.shape.rank == 2 else value
          for name, value in inputs.items()}


@tf.autograph.experimental.do_not_convert
def check_inputs(inputs: Any,
                 wanted: Mapping[str, int | None]) -> tf.TensorShape:
  """Refuses what an encoder cannot read.

  Args:
    inputs: arrays, tensors or element specs by name; others are refused.
    wanted: names of inputs, and what their numbers have to be below, if they
      index a table.

  Returns:
    Their shape, [batch, length].

  Raises:
    InputError: it is none, one of them is missing, or has another type, shape
      or range.
  """
  names = ", ".join(wanted)
  if not isinstance(inputs, Mapping):
    check_not_keras_3("input", *tf.nest.flatten(inputs))
    described = _described(inputs)
    raise InputError(f"the inputs are {described}: a dict of {names} is "
                     f"wanted: {_TEXTS}"
                     + (_LABELS if "string" in described else ""))
  missing = [name for name in wanted if name not in inputs]
  if missing:
    ours = {_OTHER_NAMES.get(name) for name in inputs}
    hint = ("; input_ids, attention_mask, token_type_ids are called "
            "input_word_ids, input_mask, input_type_ids here"
            if ours & set(missing) else "")
    raise InputError(
        f"the inputs are {', '.join(map(str, inputs)) or 'empty'}, without "
        f"{', '.join(missing)}: a dict of {names} is wanted: {_TEXTS}{hint}")
  shapes = {}
  for name, limit in wanted.items():
    shapes[name] = _check_input(name, inputs[name], limit)
  first = next(iter(shapes))
  for name, shape in shapes.items():
    if not shape.is_compatible_with(shapes[first]):
      raise InputError(
          f"{name} has the shape {_shape(shape)}, {first} "
          f"{_shape(shapes[first])}: they have to be equal")
  return shapes[first]


def _check_input(name: str, value: Any, limit: int | None) -> tf.TensorShape:
  """Checks one input, and returns its shape [batch, length]."""
  check_not_keras_3(f"input {name}", value)
  if isinstance(value, (tf.RaggedTensor, tf.RaggedTensorSpec)):
    raise InputError(f"{name} is ragged: [batch, length], padded with zeros, "
                     "is wanted: .to_tensor() pads it")
  if not hasattr(value, "shape") or not hasattr(value, "dtype"):
    raise InputError(
        f"{name} is {_described(value)}: an array of int32 [batch, length] is "
        "wanted")
  try:
    dtype = tf.as_dtype(value.dtype)
  except TypeError:
    raise InputError(
        f"{name} is {_described(value)}: an array of numpy or TensorFlow is "
        "wanted") from None
  if name == "input_texts":
    right, kind = dtype == tf.string, "strings"
  elif name == "input_mask":
    right, kind = dtype != tf.string, "int32"
  else:
    right, kind = dtype in (tf.int32, tf.int64), "int32"
  if not right:
    raise InputError(f"{name} has the type {dtype.name}: {kind} is wanted: "
                     f"{_TEXTS}")
  shape = tf.TensorShape(value.shape)
  if shape.rank not in (None, 2):
    raise InputError(
        f"{name} has the shape {_shape(shape)}: [batch, length] is wanted"
        + (", a batch of rows, not one" if shape.rank == 1 else ""))
  if limit is not None:
    numbers = values_of(value)
    if numbers is not None and numbers.size and (
        numbers.min() < 0 or numbers.max() >= limit):
      wrong = (numbers < 0) | (numbers >= limit)
      row = int(np.argwhere(wrong)[0][0])
      raise InputError(
          f"{name}: row {row} has {numbers[wrong][0]}: numbers from 0 to "
          f"{limit - 1} are wanted: {_TEXTS}, of the same encoder")
  return shape


def check_length(shape: tf.TensorShape, positions: int) -> None:
  """Refuses inputs that are longer than an encoder has positions for.

  Raises:
    InputError: so it is.
  """
  if shape.rank == 2 and shape[1] is not None and shape[1] > positions:
    raise InputError(
        f"the inputs have {shape[1]} wordpieces, the encoder has positions "
        f"for {positions}: encoder.text_processor({positions})(texts) cuts "
        "them")


def check_labels(labels: Any, kind: str | None, names: Sequence[str],
                 inputs: Any, per_token: bool) -> None:
  """Refuses labels that a model cannot be trained or evaluated on.

  Args:
    labels: an array, a tensor or an element spec.
    kind: what the loss wants of them, see `losses.check_loss`; None where that
      is not known: nothing is checked.
    names: of the labels; none where labels are positions or scores.
    inputs: the model's, that they belong to, by name.
    per_token: whether they are of tokens or positions of tokens.

  Raises:
    InputError: they are names, of another shape, or out of range.
  """
  if kind is None:
    return
  if labels is None:
    raise InputError("there are no labels: give y, or a dataset of (x, y)")
  wanted = _wanted_labels(kind, len(names), per_token)
  check_not_keras_3("labels", labels)
  if isinstance(labels, (list, tuple)):
    raise InputError(f"the labels are a {type(labels).__name__}: {wanted} are "
                     "wanted, as an array: np.array(labels)")
  if not hasattr(labels, "shape"):
    raise InputError(f"the labels are {_described(labels)}: {wanted} are "
                     "wanted")
  values = values_of(labels)
  dtype = values.dtype if values is not None else labels.dtype.as_numpy_dtype
  if np.dtype(dtype).kind in "OSU":
    _refuse_objects(values, names, wanted)
  shape = tf.TensorShape(labels.shape)
  _check_label_shape(shape, kind, len(names), per_token, wanted)
  if values is None and kind == "numbers" and np.dtype(dtype).kind == "f":
    # Keras would cut off fractions, which nobody can see before.
    raise InputError(
        f"the labels have the type {np.dtype(dtype).name}: {wanted} are "
        "wanted: dataset.map(lambda x, y: (x, tf.cast(y, tf.int32)))")
  given = next(iter(inputs.values()), None) if isinstance(
      inputs, Mapping) else None
  rows = tf.TensorShape(getattr(given, "shape", None))
  if rows.rank and shape[0] is not None and rows[0] not in (None, shape[0]):
    raise InputError(f"there are {shape[0]} labels for {rows[0]} rows of "
                     "inputs")
  length = rows[1] if rows.rank == 2 else None
  if names and per_token and None not in (length, shape[1]) and (
      length != shape[1]):
    raise InputError(
        f"the labels have {shape[1]} tokens a row, the inputs {length}: a "
        "label for each wordpiece is wanted, -1 where there is none")
  if values is not None and values.size:
    limit = len(names) or length
    _check_label_values(values, kind, limit, bool(names) and per_token, wanted)


def _refuse_objects(values: np.ndarray | None, names: Sequence[str],
                    wanted: str) -> None:
  """Raises InputError for labels that are no numbers."""
  first = values.reshape(-1)[0] if values is not None and values.size else None
  if first is not None and not isinstance(first, (str, bytes)):
    raise InputError(f"the labels are an array of objects, such as {first!r}: "
                     f"{wanted} are wanted: labels.astype(int)")
  some = "" if first is None else f", such as {_text(first)!r}"
  raise InputError(
      f"the labels are strings{some}: {wanted} are wanted"
      + (": [model.labels.index(name) for name in names]" if names else ""))


def _wanted_labels(kind: str, count: int, per_token: bool) -> str:
  if kind == "scores":
    return "numbers [batch]"
  if kind == "one-hot":
    return f"one-hot rows [batch, {count}]"
  if kind == "zeros and ones":
    return f"zeros and ones [batch, {count}]"
  if not count:
    return "positions of the first and the last token [batch, 2]"
  if per_token:
    return (f"numbers from 0 to {count - 1} [batch, length], -1 for tokens "
            "without a label,")
  return f"numbers from 0 to {count - 1} [batch]"


def _check_label_shape(shape: tf.TensorShape, kind: str, count: int,
                       per_token: bool, wanted: str) -> None:
  if shape.rank is None:
    return
  if kind in ("one-hot", "zeros and ones"):
    right = shape.rank == 2 and shape[1] in (None, count)
  elif not per_token:
    right = shape.rank == 1 or (shape.rank == 2 and shape[1] in (None, 1))
  else:
    right = shape.rank == 2 and (count or shape[1] in (None, 2))
  if not right:
    hint = ""
    if kind == "numbers" and shape.rank == 2 and not per_token:
      hint = (": for one-hot rows compile with loss=tf_keras.losses."
              "CategoricalCrossentropy(from_logits=True)")
    raise InputError(f"the labels have the shape {_shape(shape)}: {wanted} are "
                     f"wanted{hint}")


def _check_label_values(values: np.ndarray, kind: str, limit: int | None,
                        gaps: bool, wanted: str) -> None:
  """Refuses numbers out of range.

  Args:
    values: the labels.
    kind: of the labels.
    limit: what numbers have to be below, where that is known.
    gaps: whether negative ones stand for no label.
    wanted: what to say.
  """
  values = values.astype(np.float64)
  wrong = ~np.isfinite(values)
  if kind == "numbers":
    wrong |= values != np.floor(values)
    if not gaps:
      wrong |= values < 0
    if limit is not None:
      wrong |= values >= limit
  elif kind != "scores":
    wrong |= (values < 0) | (values > 1)
  if not wrong.any():
    return
  hint = ""
  if (kind == "numbers" and limit and values.max() == limit
      and values[values >= 0].min() == 1):
    hint = ": these begin with 1, subtract it"
  row = int(np.argwhere(wrong)[0][0])
  raise InputError(f"the labels: row {row} has {values[wrong][0]:g}: {wanted} "
                   f"are wanted{hint}")


def check_sample_weight(weights: Any, labels: Any, per_label: bool) -> None:
  """Refuses weights that do not belong to rows, or to their labels.

  Args:
    weights: an array, a tensor or an element spec; None: nothing is checked.
    labels: what they belong to.
    per_label: whether each label of a row can have its own weight.

  Raises:
    InputError: their shape fits neither, or one is not a number from 0 on.
  """
  if weights is None:
    return
  if isinstance(weights, (list, tuple)):
    raise InputError("sample_weight is a list: give an array: "
                     "np.array(sample_weight)")
  check_not_keras_3("sample_weight", weights)
  shape = tf.TensorShape(getattr(weights, "shape", None))
  of_labels = tf.TensorShape(getattr(labels, "shape", None))
  one = shape.rank in (None, 1) or (shape.rank == 2 and shape[1] == 1)
  each = per_label and shape.is_compatible_with(of_labels)
  if not (one or each):
    raise InputError(
        f"sample_weight has the shape {_shape(shape)}: a weight for each row "
        "[batch]"
        + (f", or for each label {_shape(of_labels)}" if per_label else "")
        + " is wanted")
  if shape.rank and of_labels.rank and not shape[:1].is_compatible_with(
      of_labels[:1]):
    raise InputError(f"sample_weight has {shape[0]} rows, the labels have "
                     f"{of_labels[0]}")
  values = values_of(weights)
  if values is not None and values.size:
    values = values.astype(np.float64)
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
      row = int(np.argwhere(wrong)[0][0])
      raise InputError(f"sample_weight: row {row} has {values[wrong][0]:g}: "
                       "numbers from 0 on are wanted")


def is_iterator(value: Any) -> bool:
  """Returns whether a value gives batches as Keras takes them of generators."""
  # Iterators of tf.data have a spec of what they give, and are eager tensors'.
  return isinstance(value, Iterator) and not hasattr(value, "element_spec")


def values_of(value: Any) -> np.ndarray | None:
  """Returns an array of what is there; None of symbolic tensors and of specs.
  """
  if isinstance(value, tf.Tensor):
    return value.numpy() if hasattr(value, "numpy") else None
  # Keras' symbolic tensors have an __array__, too, that raises.
  known = type(value).__module__.split(".")[0] in ("numpy", "pandas")
  return np.asarray(value) if known else None


def _described(value: Any) -> str:
  """Describes a value in a few words."""
  if value is None:
    return "missing"
  if isinstance(value, (str, bytes)):
    return "a string"
  if isinstance(value, (list, tuple)):
    kinds = collections.Counter(type(part).__name__ for part in value)
    if set(kinds) == {"str"}:
      return f"a {type(value).__name__} of strings"
    return (f"a {type(value).__name__} of {len(value)} "
            f"({', '.join(kinds) or 'nothing'})")
  dtype = getattr(value, "dtype", None)
  if dtype is not None and hasattr(value, "shape"):
    name = getattr(dtype, "name", str(dtype))
    if name in ("string", "object") or name.startswith(("str", "bytes")):
      return "strings"
    return f"one array of {name} {_shape(tf.TensorShape([*value.shape]))}"
  return f"a {type(value).__name__}"


def _shape(shape: tf.TensorShape) -> str:
  if shape.rank is None:
    return "unknown"
  return str([*shape]).replace("None", "?")


def _text(value: Any) -> str:
  return value.decode(errors="replace") if isinstance(value, bytes) else str(
      value)
