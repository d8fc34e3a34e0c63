"""Writes an encoder as TF Hub SavedModels: the v4 API, and its preprocessing.

The way back from all the formats that are read here. Adapters are not written:
a task's file is the place for them.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
from official.nlp.tools import export_tfhub_lib

from tf_adapters.checkpoints.hub_saved_model import OWN_CONFIG_NAME
from tf_adapters.errors import InputError, check_name
from tf_adapters.files.by_tensorflow import writing_by_tensorflow
from tf_adapters.files.writing import (
    SAVED_MODEL,
    check_vacant,
    replaced_folder,
)
from tf_adapters.modeling import compilation
from tf_adapters.modeling.config import DEFAULT_MAX_LENGTH
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.table import config_to_dict, family_of
from tf_adapters.modeling.layers import Dropout
from tf_adapters.modeling.saving_checks import check_own_weights
from tf_adapters.modeling.vocabularies.sentence_piece import AlbertVocabulary
from tf_adapters.modeling.vocabularies.wordpiece import WordpieceVocabulary
from tf_adapters.modeling.vocabulary import Vocabulary

PREPROCESSING_SUFFIX = "_preprocess"

# What TF Hub's encoders are called with.
_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


class _Asset(NamedTuple):
  """A vocabulary as TF Hub's SavedModels have it.

  Attributes:
    attribute: what the SavedModel, and tf-models' exporter, call it.
    name: of its file.
    content: of its file.
    lower_case: whether text is lower-cased.
  """

  attribute: str
  name: str
  content: bytes
  lower_case: bool


def export_hub(encoder: TransformerEncoder, path: str | os.PathLike[str],
               seq_length: int = DEFAULT_MAX_LENGTH,
               overwrite: bool = False) -> pathlib.Path:
  """Writes two SavedModels that hub.load, hub.KerasLayer and Model Garden use.

  The encoder at `path`, called with a dict of int32 [batch, length] as TF Hub's
  BERT v4 is, with `vocab_file` (of an ALBERT `sp_model_file`) and
  `do_lower_case`; beside it, under the name with "_preprocess" appended,
  tf-models' preprocessing from strings. The preprocessing is TF Hub's: it cuts
  long pairs evenly and not the longer text first, and departs from BERT's
  tokenizer in what docs/reference/text.md says. Where an encoder has no
  segments, `input_type_ids` are not looked at. What no graph tells of the
  architecture is in encoder_config.json, for `load_encoder`.

  Args:
    encoder: without adapters, with a vocabulary.
    path: the folder to write; it must not exist, or be empty.
    seq_length: the preprocessing's length of sequences.
    overwrite: whether SavedModels that are there are replaced.

  Returns:
    The encoder's folder; `preprocessing_path` has the other one.

  Raises:
    InputError: the encoder has adapters, weights that a subclass adds, no
      vocabulary, one that TF Hub's preprocessing cannot have, no positions for
      sequences of that length, or weights in bfloat16; a folder is there
      already, or cannot be written.

  Example:
    >>> export_hub(load_encoder("biobert/"), "hub/biobert")
    >>> hub.KerasLayer("hub/biobert", trainable=True)
  """
  if encoder.method is not None:
    raise InputError("a TF Hub SavedModel is of an encoder without adapters")
  check_own_weights(encoder, "TF Hub's format holds the family's layers alone",
                    "tf.saved_model.save writes a SavedModel of all")
  family = family_of(encoder.config)
  if not family.has_hub_api:
    raise InputError(
        f"TF Hub's preprocessing is not {family.title}'s: export_model writes "
        "models of it")
  if encoder.variable_dtype != "float32":
    raise InputError(
        f"the encoder's weights are held in {encoder.variable_dtype}: load it "
        "with dtype='float32' to export it")
  # It has a vocabulary, and positions.
  asset = _asset(encoder.text_processor(seq_length).vocabulary)
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
    _write(encoder, asset, path, beside, seq_length)
  return path


def preprocessing_path(path: pathlib.Path) -> pathlib.Path:
  """Returns the folder beside an encoder's that has its preprocessing."""
  return path.with_name(f"{path.name}{PREPROCESSING_SUFFIX}")


def _asset(vocabulary: Vocabulary) -> _Asset:
  """Makes a vocabulary that TF Hub's preprocessing can have; refuses others."""
  what: dict[str, object]
  if isinstance(vocabulary, WordpieceVocabulary):
    what = {
        "added tokens": vocabulary.added,
        f"strip_accents={vocabulary.strips_accents}":
            vocabulary.strips_accents != vocabulary.lower_case,
        "tokenize_chinese_chars=False": not vocabulary.tokenize_chinese_chars}
    asset = _Asset("vocab_file", "vocab.txt", "".join(
        f"{token}\n" for token in vocabulary.wordpieces()).encode(),
                   vocabulary.lower_case)
  elif isinstance(vocabulary, AlbertVocabulary):
    what = {"keep_accents=True": vocabulary.keep_accents}
    asset = _Asset("sp_model_file", "spiece.model", vocabulary.model_bytes,
                   vocabulary.lower_case)
  else:
    raise InputError("TF Hub's preprocessing is for WordPiece and for ALBERT's "
                     f"SentencePiece: this vocabulary is {vocabulary.kind}")
  for name, is_there in what.items():
    if is_there:
      raise InputError(
          f"the vocabulary has {name}, which TF Hub's preprocessing cannot do: "
          "export_model writes a model from strings that can")
  return asset


def _write(encoder: TransformerEncoder, asset: _Asset, path: pathlib.Path,
           beside: pathlib.Path, seq_length: int) -> None:
  with replaced_folder(path) as folder, replaced_folder(beside) as other:
    (folder / OWN_CONFIG_NAME).write_text(
        json.dumps(config_to_dict(encoder.config), indent=2) + "\n")
    assets = folder / "assets"
    assets.mkdir()
    file = assets / asset.name
    file.write_bytes(asset.content)
    _save_encoder(encoder, folder, file, asset)
    export_tfhub_lib.export_preprocessing(
        str(other), **{asset.attribute: str(file)},
        do_lower_case=asset.lower_case, tokenize_with_offsets=False,
        default_seq_length=seq_length)


def _save_encoder(encoder: TransformerEncoder, folder: pathlib.Path,
                  file: pathlib.Path, asset: _Asset) -> None:
  # A root object of variables and functions alone: Keras' own way of saving
  # would add the layers, which a reader without this package cannot use.
  root = tf.train.Checkpoint()
  root.variables = list(encoder.base_variables().values())
  root.trainable_variables = list(root.variables)
  root.regularization_losses = []
  root.dropout = [layer.state for layer in encoder.submodules
                  if isinstance(layer, Dropout)]
  setattr(root, asset.attribute, tf.saved_model.Asset(str(file)))
  root.do_lower_case = tf.Variable(
      asset.lower_case, trainable=False, name="do_lower_case")

  @tf.function(autograph=False)
  def call(inputs: Mapping[str, tf.Tensor],
           training: bool = False) -> dict[str, tf.Tensor]:
    return encoder(inputs, training=training)

  spec = {name: tf.TensorSpec([None, None], tf.int32, name=name)
          for name in _INPUTS}
  root.__call__ = call

  @tf.function(autograph=False, input_signature=[spec])
  def serve(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    outputs = encoder(inputs, training=False)
    return {name: outputs[name]
            for name in ("default", "pooled_output", "sequence_output")}

  with compilation.portable():
    for training in (True, False):
      call.get_concrete_function(spec, training=training)
    tf.saved_model.save(root, str(folder), signatures=serve)
