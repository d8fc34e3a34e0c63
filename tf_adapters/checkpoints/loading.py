"""Loads encoders with pretrained weights from any source, or describes them."""

import dataclasses
import os
import pathlib
from typing import Any

from tf_adapters.checkpoints.checkpoint import Checkpoint
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.vocabulary import check_vocabulary
from tf_adapters.checkpoints.vocabulary_files import read_vocabulary_file
from tf_adapters.errors import InputError
from tf_adapters.modeling.dtypes import check_dtype
from tf_adapters.modeling.encoder import TransformerEncoder
from tf_adapters.modeling.encoders.family import EncoderConfig
from tf_adapters.modeling.encoders.table import family_of
from tf_adapters.modeling.fingerprints import Fingerprint, in_words
from tf_adapters.modeling.layers import values_follow
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.origin import digest
from tf_adapters.modeling.serialization import assign
from tf_adapters.modeling.task_layers import TaskLayers
from tf_adapters.modeling.vocabulary import Vocabulary
from tf_adapters.notices import quiet_first_operation


def load_encoder(encoder_source: str | os.PathLike[str],
                 method: Method | None = None,
                 vocab_file: str | os.PathLike[str] | None = None,
                 lower_case: bool | None = None,
                 dtype: str | None = None,
                 adapters: Method | None = None) -> TransformerEncoder:
  """Builds an encoder with pretrained weights.

  Weights are read on the host, tensor by tensor, and assigned by name: nothing
  in the checkpoint is run, and this works inside a `strategy.scope()`.

  Args:
    encoder_source: an alias ("bert_base_uncased", "minilm_l6", ...: see
      `checkpoints.sources.ALIASES`), a repository of the Hugging Face Hub
      ("hf://owner/name"), a TF Hub or Kaggle Models URL or handle, or a local
      folder or file: a Hub SavedModel (v1 to v4), a TF1 Hub module, a TF1 or
      Model Garden checkpoint, a Hugging Face model, or a KerasHub preset.
    method: configuration of what a task adds: an `AdapterConfig`, a
      `LoraConfig`, ...; None for a plain encoder.
    vocab_file: a vocab.txt to use instead of the checkpoint's.
    lower_case: whether text is lower-cased, if the checkpoint is wrong.
    dtype: "float32"; "mixed_bfloat16" to compute in bfloat16; "bfloat16" to
      hold the weights in it too, which then cannot train (what a task owns
      is float32 all the same); None for Keras' global policy. There are no
      others.
    adapters: what `method` was called in version 0.1.

  Returns:
    The encoder, a `BertEncoder` for instance, with its vocabulary, its origin
    and the pooling that it was made for. Without a method it is the same
    function as the source, to 1e-5 in float32.

  Raises:
    InputError: the source cannot be found or read, a tensor is missing or of
      another shape, the method enters a layer that does not exist, or both
      `method` and `adapters` are given.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", AdapterConfig(size=64))
    >>> encoder(encoder.text_processor()(["He said so."]))["pooled_output"]
  """
  check_dtype(dtype)  # before anything is fetched
  if method is not None and adapters is not None:
    raise InputError("adapters is the older name of method: give one of them")
  pretrained = open_encoder(encoder_source, vocab_file, lower_case)
  return pretrained.build(method or adapters, dtype)


@dataclasses.dataclass(frozen=True)
class PretrainedEncoder:
  """An encoder's checkpoint, opened and checked: nothing is built yet.

  Attributes:
    source: what was asked for.
    checkpoint: the weights.
    vocabulary: the checkpoint's, or what was asked for instead.
  """

  source: str
  checkpoint: Checkpoint
  vocabulary: Vocabulary | None

  @property
  def config(self) -> EncoderConfig:
    """The architecture."""
    return self.checkpoint.config

  @property
  def lacks_pooler(self) -> bool:
    """Whether no file has its pooler: see `Checkpoint`."""
    return self.checkpoint.lacks_pooler

  def build(self, method: Method | None = None,
            dtype: str | None = None) -> TransformerEncoder:
    """Builds the encoder, as `load_encoder` does.

    Raises:
      InputError: a tensor cannot be read, or the method enters a layer that
        does not exist.
    """
    quiet_first_operation()
    config: Any = self.config  # of the family's own type
    with values_follow():
      encoder = family_of(self.config).encoder_class()(
          config, TaskLayers(config, method, dtype=dtype),
          self.vocabulary, pooling=self.checkpoint.pooling, dtype=dtype)
    variables = encoder.base_variables()
    fingerprint = Fingerprint(self.config)
    digests = {}
    for name, array in self.checkpoint.tensors():
      noted = fingerprint.add(name, array)
      # No tensor between the two, which would be one more copy.
      value = array.astype(
          variables[name].dtype.as_numpy_dtype, copy=False)
      assign(variables[name], value)
      digests[name] = noted if value is array else digest(value)
    encoder.start_method()
    encoder.origin = fingerprint.origin(self.source, digests)
    return encoder


def describe_encoder(encoder_source: str | os.PathLike[str],
                     vocab_file: str | os.PathLike[str] | None = None,
                     lower_case: bool | None = None) -> dict[str, str]:
  """Describes an encoder for people, without building it.

  Args:
    encoder_source, vocab_file, lower_case: as for `load_encoder`.

  Raises:
    InputError: as `load_encoder`; every tensor is read.
  """
  encoder = open_encoder(encoder_source, vocab_file, lower_case)
  checkpoint, vocabulary = encoder.checkpoint, encoder.vocabulary
  config = encoder.config
  fingerprint = Fingerprint(config)
  for name, array in checkpoint.tensors():
    fingerprint.add(name, array)
  rows = {
      "encoder": encoder.source,
      "format": checkpoint.kind,
      "path": str(checkpoint.path),
      **config.description(),
      "parameters": f"{checkpoint.num_parameters:,}",
  }
  if checkpoint.sentence_pooling is not None:
    rows["sentence encoder"] = (
        f"yes: texts are pooled by {checkpoint.sentence_pooling}")
  rows["pooler"] = checkpoint.pooler
  rows["pooling=auto"] = checkpoint.pooling
  if vocabulary is None:
    rows["tokenizer"] = (
        "none: --vocab_file gives one, --do_lower_case its casing")
  else:
    rows["tokenizer"] = vocabulary.description()
    rows["vocabulary sha256"] = vocabulary.sha256()
  rows |= in_words(fingerprint.origin(encoder.source, {}).to_dict())
  if checkpoint.beside:
    rows["left out"] = f"{len(checkpoint.beside)} tensors: " + ", ".join(
        checkpoint.beside[:3]) + (", ..." if len(checkpoint.beside) > 3 else "")
  return rows


def open_encoder(encoder_source: str | os.PathLike[str],
                 vocab_file: str | os.PathLike[str] | None = None,
                 lower_case: bool | None = None) -> PretrainedEncoder:
  """Opens what `load_encoder` would build: the architecture is known then.

  Args:
    encoder_source, vocab_file, lower_case: as for `load_encoder`.

  Raises:
    InputError: as `load_encoder`.
  """
  if not isinstance(encoder_source, str | os.PathLike):
    raise InputError(
        "an encoder is opened by its name, its URL or its folder, not by a "
        f"{type(encoder_source).__name__}")
  source = os.fspath(encoder_source)
  checkpoint = open_checkpoint(source)
  vocabulary = checkpoint.vocabulary
  if vocab_file is not None:
    path = pathlib.Path(vocab_file)
    vocabulary = read_vocabulary_file(
        path, lower_case, family_of(checkpoint.config))
    check_vocabulary(path, vocabulary, checkpoint.config)
  elif vocabulary is not None and lower_case is not None:
    vocabulary = vocabulary.with_lower_case(lower_case)
  return PretrainedEncoder(source, checkpoint, vocabulary)
