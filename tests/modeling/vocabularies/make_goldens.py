"""Writes the ids of transformers' tokenizers, for tests to compare with.

Run it in an environment of its own, from the root of the repository:

  python3 -m venv peer
  peer/bin/pip install transformers==4.57.6 sentencepiece numpy
  PYTHONPATH=. peer/bin/python tests/modeling/vocabularies/make_goldens.py

It trains small vocabularies on texts in 20 scripts. Beside what it writes it
compares 2,000 texts more with the references that are in plain Python.
"""

import json
import pathlib
import tempfile
import types

import tokenizers
import transformers

from tests import (
    byte_pairs_reference,
    scripts,
    sentence_piece_reference as reference,
)

GOLDENS = pathlib.Path(__file__).parent / "goldens"
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MODERNBERT_TOKENS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
SENTENCE_PIECE = {
    "albert": (transformers.AlbertTokenizer, reference.albert),
    "fairseq": (transformers.XLMRobertaTokenizer, reference.fairseq),
    "sentencepiece": (transformers.DebertaV2Tokenizer, reference.plain)}
TEXTS = ["", " ", "  a  b ", "it's I'LL 'tis", "a\u00a0b\t\tc\n d", "x" * 50,
         "\u00e9 e\u0301 \u1e9b\u0323", "|||EMAIL_ADDRESS||| 12  345",
         "9,9 ``x'' 1,000"]


def check_sentence_piece(texts):
  for kind, (peer, expected) in SENTENCE_PIECE.items():
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / f"{kind}.model"
      path.write_bytes(reference.train(kind))
      tokenizer = peer(str(path))
      processor = reference.load(path.read_bytes())
      different = [text for text in texts if tokenizer.convert_tokens_to_ids(
          tokenizer.tokenize(text)) != expected(processor, text)]
      # transformers' ALBERT lower-cases one character after the other,
      # google-research's the text: a capital sigma that ends a word.
      print(f"{kind}: {len(different)} of {len(texts)} texts differ,",
            sum("Σ" not in text for text in different), "of them without Σ")


def check_byte_pairs(name, vocabulary, tokenizer, texts):
  expected = byte_pairs_reference.BytePairs(vocabulary)
  different = [
      text for text in texts if expected.ids(text)
      != tokenizer(text, add_special_tokens=False)["input_ids"]]
  print(f"{name}: {len(different)} of {len(texts)} texts differ:",
        different[:5])


def of_tokenizer(tokenizer, normalization="", added=()):
  """Describes a tokenizer of `tokenizers` for the reference."""
  values = json.loads(tokenizer.to_str())
  ids = tokenizer.get_vocab()
  return types.SimpleNamespace(
      tokens=sorted(ids, key=ids.get), add_prefix_space=False,
      merges=[" ".join(pair) for pair in values["model"]["merges"]],
      normalization=normalization, added=added)


def write_ids(path, texts, tokenizer):
  """Texts, their ids without special tokens, and those of words."""
  words = [text.split() for text in texts]
  path.write_text(json.dumps({
      "texts": texts,
      "ids": [tokenizer(text, add_special_tokens=False)["input_ids"]
              for text in texts],
      "pair": tokenizer(texts[4], texts[3])["input_ids"],
      "words": words,
      "ids_of_words": [[
          tokenizer(" " + word, add_special_tokens=False)["input_ids"]
          for word in row] for row in words]},
      ensure_ascii=False, separators=(",", ":")))


def main():
  texts = [*TEXTS, *(text for _, text in scripts.texts(20, seed=6))]
  many = [text for _, text in scripts.texts(2000, seed=4)]
  check_sentence_piece(many)
  GOLDENS.mkdir(exist_ok=True)

  folder = GOLDENS / "roberta"
  folder.mkdir(exist_ok=True)
  trained = byte_pairs_reference.train(ROBERTA_TOKENS, many[:300])
  trained.model.save(str(folder))
  slow, fast = (kind(str(folder / "vocab.json"), str(folder / "merges.txt"))
                for kind in (transformers.RobertaTokenizer,
                             transformers.RobertaTokenizerFast))
  write_ids(folder / "ids.json", texts, slow)
  for name, tokenizer in (("slow", slow), ("fast", fast)):
    check_byte_pairs(f"roberta, {name}", of_tokenizer(trained), tokenizer, many)

  folder = GOLDENS / "modernbert"
  folder.mkdir(exist_ok=True)
  tokenizer = byte_pairs_reference.train(
      MODERNBERT_TOKENS, many[:300], normalizer=tokenizers.normalizers.NFC())
  added = ("|||EMAIL_ADDRESS|||", "  ", "   ")
  tokenizer.add_tokens([
      tokenizers.AddedToken(text, normalized=True) for text in added])
  tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
      "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [
          (token, tokenizer.token_to_id(token))
          for token in ("[CLS]", "[SEP]")])
  tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
  fast = transformers.PreTrainedTokenizerFast(
      tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]",
      pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]")
  write_ids(folder / "ids.json", texts, fast)
  check_byte_pairs(
      "modernbert", of_tokenizer(tokenizer, "NFC", added), fast, many)


if __name__ == "__main__":
  main()
