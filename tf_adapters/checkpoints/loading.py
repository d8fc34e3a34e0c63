"""`load_encoder`: an encoder with pretrained weights, from any source."""

import pathlib

from tf_adapters.checkpoints import names
from tf_adapters.checkpoints.checkpoint import Fingerprint, read_vocabulary
from tf_adapters.checkpoints.sources import open_checkpoint
from tf_adapters.modeling.adapter import TaskLayers
from tf_adapters.modeling.config import AdapterConfig, Origin
from tf_adapters.modeling.encoder import BertEncoder


def load_encoder(source: str, adapters: AdapterConfig | None = None,
                 vocab_file: str | None = None,
                 lower_case: bool | None = None) -> BertEncoder:
  """Builds a BERT encoder with pretrained weights.

  Weights are read on the host, tensor by tensor, and assigned by name: nothing
  in the checkpoint is run, and this works inside a `strategy.scope()`.

  Args:
    source: an alias ("bert_base_uncased", "minilm_l6", ...: see
      `checkpoints.sources.ALIASES`), a TF Hub URL or handle, or a local folder:
      a Hub SavedModel (v3, v4) or a Hugging Face BERT.
    adapters: configuration of the adapters, or None for a plain BERT.
    vocab_file: a vocab.txt to use instead of the checkpoint's.
    lower_case: whether text is lower-cased, if the checkpoint is wrong.

  Returns:
    A `BertEncoder` with its vocabulary and origin. Without adapters it is the
    same function as the source, to 1e-5 in float32.

  Raises:
    InputError: the source can not be found or read, a tensor is missing or of
      another shape, or an adapter layer does not exist.

  Example:
    >>> encoder = load_encoder("bert_base_uncased", AdapterConfig(size=64))
    >>> encoder(encoder.text_processor()(["He said so."]))["pooled_output"]
  """
  checkpoint = open_checkpoint(source)
  config = checkpoint.config
  vocabulary = checkpoint.vocabulary
  if vocab_file is not None:
    vocabulary = read_vocabulary(pathlib.Path(vocab_file), lower_case)
  elif vocabulary is not None and lower_case is not None:
    vocabulary = type(vocabulary)(vocabulary.tokens, lower_case)
  encoder = BertEncoder(config, TaskLayers(config, adapters), vocabulary)
  variables = encoder.base_variables()
  fingerprint = Fingerprint(config)
  for name in sorted(names.shapes(config)):
    array = checkpoint.tensor(name)
    fingerprint.add(name, array)
    variables[name].assign(array)
  encoder.origin = Origin(source, fingerprint.hexdigest())
  return encoder
