"""SentencePiece by the rules of ALBERT and others, in plain Python.

Written from google-research/albert tokenization.py and from fairseq's order of
tokens, on SentencePiece's own library. Nothing here imports the package.
tests/modeling/vocabularies/make_goldens.py compares it with transformers'
tokenizers.
"""

import io
import unicodedata

import sentencepiece

from tests import scripts

# Digits with commas behind them become pieces.
_NUMBERS = ["in 9, 19, 1999, 20, 9,9 and 100,000 of 9, or 19,"] * 40


def train(kind):
  """The bytes of a small model, as those of encoders are trained.

  Args:
    kind: "albert"; "fairseq", as XLM-RoBERTa's; or "sentencepiece", as
      DeBERTa's.
  """
  texts = [text for _, text in scripts.texts(400, seed=5)]
  model = io.BytesIO()
  special = dict(
      albert=dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                  control_symbols=["[CLS]", "[SEP]", "[MASK]"]),
      fairseq=dict(unk_id=0, bos_id=1, eos_id=2),
      sentencepiece=dict(
          pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]",
          bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]"))[kind]
  sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter([*texts, *_NUMBERS]), model_writer=model,
      vocab_size=700, character_coverage=0.98, split_by_unicode_script=False,
      split_by_number=False, hard_vocab_limit=False, minloglevel=2,
      num_threads=1, **special)
  return model.getvalue()


def load(model):
  processor = sentencepiece.SentencePieceProcessor()
  processor.LoadFromSerializedProto(model)
  return processor


def albert(processor, text, lower_case=True, keep_accents=False):
  """Ids of a text, without special tokens."""
  text = " ".join(text.strip().split())
  text = text.replace("``", '"').replace("''", '"')
  if not keep_accents:
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
  if lower_case:
    text = text.lower()
  pieces = []
  for piece in processor.encode(text, out_type=str):
    if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
      parts = processor.encode(piece[:-1].replace("▁", ""), out_type=str)
      if not piece.startswith("▁") and parts[0].startswith("▁"):
        if parts[0] == "▁":
          parts = parts[1:]
        else:
          parts[0] = parts[0][1:]
      pieces += [*parts, ","]
    else:
      pieces.append(piece)
  return [processor.piece_to_id(piece) for piece in pieces]


def fairseq(processor, text):
  """Ids of a text, without special tokens."""
  return [number + 1 if number else 3 for number in processor.encode(text)]


def plain(processor, text):
  """Ids of a text, without special tokens: the model's own."""
  return processor.encode(text)
