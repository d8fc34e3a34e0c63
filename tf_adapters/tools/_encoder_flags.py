"""Flags of the pretrained encoder, the same for every tool that loads one."""

from absl import flags

from tf_adapters.checkpoints.sources import ALIASES, locate
from tf_adapters.files.reading import check_is_file

flags.DEFINE_string(
    "encoder", None,
    f"The pretrained BERT: an alias ({', '.join(ALIASES[:4])}, "
    "small_bert_L-2_H-128, ...), a TF Hub or Kaggle Models URL or handle, or "
    "the folder or file of a Hub SavedModel, a TF1 Hub module, a TF1 or Model "
    "Garden checkpoint, or a Hugging Face BERT.")
flags.DEFINE_string(
    "vocab_file", None,
    "A vocab.txt to use instead of the encoder's own.")
flags.DEFINE_bool(
    "do_lower_case", None,
    "Whether text is lower-cased. Default: what the encoder says.")


def check() -> None:
  """Refuses an encoder or a vocabulary that is not there; reads neither.

  Raises:
    InputError: there is none of that name.
  """
  if flags.FLAGS.encoder is not None:
    locate(flags.FLAGS.encoder)
  if flags.FLAGS.vocab_file is not None:
    check_is_file(flags.FLAGS.vocab_file)
