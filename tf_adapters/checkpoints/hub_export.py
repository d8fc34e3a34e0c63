"""Writes an encoder as TF Hub SavedModels: the v4 API, and its preprocessing.

The way back from all the formats that are read here. Adapters are not written:
a task's file is the place for them.
"""

import os
import pathlib
from collections.abc import Mapping

import tensorflow as tf
from official.nlp.tools import export_tfhub_lib

from tf_adapters.checkpoints.saved_model_graph import ACTIVATION_MARKS
from tf_adapters.errors import InputError, check_name
from tf_adapters.files.by_tensorflow import writing_by_tensorflow
from tf_adapters.files.writing import (
    SAVED_MODEL,
    check_vacant,
    replaced_folder,
)
from tf_adapters.modeling import kernels
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.table import family_of
from tf_adapters.modeling.layers import Dropout
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.vocabulary import Vocabulary

PREPROCESSING_SUFFIX = "_preprocess"
VOCAB_NAME = "vocab.txt"



def export_hub(encoder: TransformerEncoder, path: str | os.PathLike[str],
               seq_length: int = DEFAULT_MAX_LENGTH,
               overwrite: bool = False) -> pathlib.Path:
  """Writes two SavedModels that hub.load, hub.KerasLayer and Model Garden use.

  The encoder at `path`, called with a dict of int32 [batch, length] as TF Hub's
  BERT v4 is, with `vocab_file` and `do_lower_case`; beside it, under the name
  with "_preprocess" appended, tf-models' preprocessing from strings. The
  preprocessing is TF Hub's: it cuts long pairs evenly and not the longer text
  first, and departs from BERT's tokenizer in what docs/reference/text.md says.

  Args:
    encoder: without adapters, with a vocabulary.
    path: the folder to write; it must not exist, or be empty.
    seq_length: the preprocessing's length of sequences.
    overwrite: whether SavedModels that are there are replaced.

  Returns:
    The encoder's folder; `preprocessing_path` has the other one.

  Raises:
    InputError: the encoder has adapters, no vocabulary, no positions for
      sequences of that length, weights in bfloat16, or an activation that a
      reader could not tell; a folder is there already, or cannot be written.

  Example:
    >>> export_hub(load_encoder("biobert/"), "hub/biobert")
    >>> hub.KerasLayer("hub/biobert", trainable=True)
  """
  if encoder.method is not None:
    raise InputError("a TF Hub SavedModel is of an encoder without adapters")
  family = family_of(encoder.config)
  if not family.has_hub_api:
    raise InputError(
        f"a TF Hub SavedModel takes what a {family.title} does not take: "
        "export_model writes models of it")
  if encoder.variable_dtype != "float32":
    raise InputError(
        f"the encoder's weights are held in {encoder.variable_dtype}: load it "
        "with dtype='float32' to export it")
  if encoder.config.hidden_act not in ACTIVATION_MARKS:
    raise InputError(
        f"activation {encoder.config.hidden_act} could not be told from a "
        "SavedModel again")
  # It has a vocabulary, and positions.
  vocabulary = _wordpieces(encoder.text_processor(seq_length).vocabulary)
  check_name(path)
  try:
    # Where links lead to, so that none is replaced by a folder.
    path = pathlib.Path(path).expanduser().resolve()
    beside = preprocessing_path(path).resolve()
    for folder in (path, beside):
      check_vacant(folder, SAVED_MODEL if overwrite else "")
  except (OSError, RuntimeError) as error:
    raise InputError(f"{path}: cannot be written: {error}") from None
  with writing_by_tensorflow(path):
    _write(encoder, vocabulary, path, beside, seq_length)
  return path


def preprocessing_path(path: pathlib.Path) -> pathlib.Path:
  """The folder beside an encoder's that has its preprocessing."""
  return path.with_name(f"{path.name}{PREPROCESSING_SUFFIX}")


def _wordpieces(vocabulary: Vocabulary) -> WordpieceVocabulary:
  """A vocabulary that TF Hub's preprocessing can have; refuses others."""
  if not isinstance(vocabulary, WordpieceVocabulary):
    raise InputError("TF Hub's preprocessing is for WordPiece vocabularies: "
                     f"this one is of {vocabulary.kind}")
  for what, is_there in (
      ("added tokens", vocabulary.added),
      (f"strip_accents={vocabulary.strips_accents}",
       vocabulary.strips_accents != vocabulary.lower_case),
      ("tokenize_chinese_chars=False",
       not vocabulary.tokenize_chinese_chars)):
    if is_there:
      raise InputError(
          f"the vocabulary has {what}, which TF Hub's preprocessing cannot do: "
          "export_model writes a model from strings that can")
  return vocabulary


def _write(encoder: TransformerEncoder, vocabulary: WordpieceVocabulary,
           path: pathlib.Path, beside: pathlib.Path, seq_length: int) -> None:
  with replaced_folder(path) as folder, replaced_folder(beside) as other:
    assets = folder / "assets"
    assets.mkdir()
    vocab_file = assets / VOCAB_NAME
    vocab_file.write_text(
        "".join(f"{token}\n" for token in vocabulary.wordpieces()),
        encoding="utf-8")
    _save_encoder(encoder, folder, vocab_file, vocabulary.lower_case)
    export_tfhub_lib.export_preprocessing(
        str(other), vocab_file=str(vocab_file),
        do_lower_case=vocabulary.lower_case, tokenize_with_offsets=False,
        default_seq_length=seq_length)


def _save_encoder(encoder: TransformerEncoder, folder: pathlib.Path,
                  vocab_file: pathlib.Path, lower_case: bool) -> None:
  # A root object of variables and functions alone: Keras' own way of saving
  # would add the layers, which a reader without this package cannot use.
  root = tf.train.Checkpoint()
  root.variables = list(encoder.base_variables().values())
  root.trainable_variables = list(root.variables)
  root.regularization_losses = []
  root.dropout = [layer.state for layer in encoder.submodules
                  if isinstance(layer, Dropout)]
  root.vocab_file = tf.saved_model.Asset(str(vocab_file))
  root.do_lower_case = tf.Variable(
      lower_case, trainable=False, name="do_lower_case")

  @tf.function(autograph=False)
  def call(inputs: Mapping[str, tf.Tensor],
           training: bool = False) -> dict[str, tf.Tensor]:
    return encoder(inputs, training=training)

  spec = {name: tf.TensorSpec([None, None], tf.int32, name=name)
          for name in encoder.wanted_inputs()}
  root.__call__ = call

  @tf.function(autograph=False, input_signature=[spec])
  def serve(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    outputs = encoder(inputs, training=False)
    return {name: outputs[name]
            for name in ("default", "pooled_output", "sequence_output")}

  with kernels.portable():
    for training in (True, False):
      call.get_concrete_function(spec, training=training)
    tf.saved_model.save(root, str(folder), signatures=serve)
