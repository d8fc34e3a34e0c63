"""Vocabularies as they are published, against BERT's rules in plain Python."""

import json

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import tf_adapters as ta
from tests import bert_reference, scripts, sentence_piece_reference
from tests.checkpoints.test_damage import copy, refuse
from tests.checkpoints.test_families import VOCABULARIES
from tests.conftest import SPECIAL, TOKENS
from tf_adapters.checkpoints.architecture import find_architecture
from tf_adapters.checkpoints.formats import open_checkpoint
from tf_adapters.checkpoints.hub_export import export_hub
from tf_adapters.checkpoints.loading import describe_encoder
from tf_adapters.checkpoints.tokenizer_files import read_tokenizer
from tf_adapters.checkpoints.vocabulary import read_vocabulary
from tf_adapters.checkpoints.vocabulary_files import find_tokenizer
from tf_adapters.modeling.encoders.table import ENCODERS


@pytest.fixture
def folder(one_layer_source, tmp_path):
  """An encoder with ten free rows in its table of embeddings."""
  folder = copy(one_layer_source, tmp_path)
  path = folder / "model.safetensors"
  tensors = safetensors.numpy.load_file(path)
  name = "embeddings.word_embeddings.weight"
  tensors[name] = np.concatenate([tensors[name], tensors[name][:10]])
  safetensors.numpy.save_file(tensors, path)
  write(folder / "config.json", **json.loads(
      (folder / "config.json").read_text()) | {"vocab_size": len(TOKENS) + 10})
  return folder


def write(path, **values):
  path.write_text(json.dumps(values))


def agree(folder, texts, lower_case=True, strip_accents=None,
          split_chinese=True, added=None, lines=TOKENS):
  """Ids of texts are those of the reference; returns the encoder."""
  encoder = ta.load_encoder(str(folder))
  ids = bert_reference.ids_of_lines(lines) | (added or {})
  text = encoder.text_processor(32)
  assert text.tokenize(texts).to_list() == [
      bert_reference.tokenize(one, ids, lower_case, strip_accents,
                              split_chinese, tuple(added or ()))
      for one in texts]
  return encoder


TEXTS = ["The film is GOOD.", "unable saids", "a\u00a0b", "", "film film"]


@pytest.mark.parametrize("change", [
    lambda lines: [*lines[:12], "", *lines[12:]],
    lambda lines: [*lines, "", ""],
    lambda lines: [*lines, "film", "the"],
    lambda lines: [f"\t{line} \u3000" for line in lines],
    lambda lines: [*lines, *(f"[unused{n}]" for n in range(10)), "", ""],
    lambda lines: [*lines[:20], "\u00a0", "a b", "x" * 201, "##", *lines[20:]],
])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_lines_of_all_kinds(folder, change, line_end):
  lines = change(list(TOKENS))
  (folder / "vocab.txt").write_bytes(
      b"\xef\xbb\xbf" + line_end.join(lines).encode())
  agree(folder, TEXTS, lines=lines)


def test_more_tokens_than_embeddings(folder):
  (folder / "vocab.txt").write_text(
      "\n".join([*TOKENS, *(f"x{n}" for n in range(11))]))
  refuse(folder, f"{len(TOKENS) + 11} tokens.* {len(TOKENS) + 10} rows")


@pytest.mark.parametrize("script", [
    "Arabic", "Hindi", "Thai", "Korean", "Japanese", "Khmer", "Tamil",
    "German"])
def test_alphabets_that_lower_casing_would_destroy(tmp_path, script):
  texts = [text for name, text in scripts.texts(400, 0) if name == script]
  words = [word for text in texts
           for word in bert_reference.words_of(text, lower_case=False)]
  path = tmp_path / "vocab.txt"
  path.write_text("\n".join(scripts.vocabulary_of(words, 0, size=500)))
  assert not read_vocabulary(path, None).strips_accents


@pytest.mark.parametrize("words, lower_case", [
    ("привет ёлка йод", True), ("Привет ёлка Йод", False),
    ("xin chào tiếng việt", True), ("Xin chào Tiếng Việt", False),
    ("สวัสดี น้ำ hello", True), ("สวัสดี น้ำ Hello", False)])
def test_lower_cased_texts_that_kept_their_accents(
    folder, words, lower_case):
  lines = [*TOKENS[:5], *words.split()]
  (folder / "vocab.txt").write_text("\n".join(lines))
  (folder / "tokenizer_config.json").unlink()
  write(folder / "special_tokens_map.json", cls_token="[CLS]")
  vocabulary = read_tokenizer(folder)
  assert (vocabulary.lower_case, vocabulary.strips_accents) == (
      lower_case, False)
  text = ta.TextProcessor(vocabulary, 8)
  ids = [2, *range(5, len(lines)), 3]
  for texts in [words, words.upper()] if lower_case else [words]:
    assert text([texts])["input_word_ids"].numpy()[0].tolist() == ids


@pytest.mark.parametrize("script", [
    "English", "German", "Korean", "Greek", "Chinese", "Vietnamese"])
def test_vocabularies_of_lower_cased_texts(tmp_path, script):
  """Hangul falls apart, and accents are gone, as in the multilingual BERT."""
  texts = [text for name, text in scripts.texts(400, 0) if name == script]
  words = [word for text in texts
           for word in bert_reference.words_of(text, lower_case=True)]
  path = tmp_path / "vocab.txt"
  path.write_text("\n".join(scripts.vocabulary_of(words, 0, size=500)))
  assert read_vocabulary(path, None).lower_case


@pytest.mark.parametrize("where", ["tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("lower_case, accents, chinese", [
    (True, False, True), (False, True, True), (True, None, False),
    (False, False, False)])
def test_settings_are_followed(folder, where, lower_case, accents, chinese):
  lines = [*TOKENS, *"éÉ中文", "中文", "e\u0301", "##\u0301"]
  (folder / "vocab.txt").write_text("\n".join(lines))
  if where == "tokenizer.json":
    (folder / "tokenizer_config.json").unlink()
    write(folder / where, normalizer={
        "type": "BertNormalizer", "lowercase": lower_case,
        "strip_accents": accents, "handle_chinese_chars": chinese})
  else:
    write(folder / where, do_lower_case=lower_case, strip_accents=accents,
          tokenize_chinese_chars=chinese)
  agree(folder, ["é É e\u0301 中文 The a中文"], lower_case, accents, chinese,
        lines=lines)
  described = describe_encoder(str(folder))["tokenizer"]
  assert ("strip_accents" in described) == (accents not in (None, lower_case))
  assert ("chinese" in described) != chinese


ROWS = len(TOKENS)
ADDED = {"<url>": ROWS, "@USER": ROWS + 1, "the cat": ROWS + 4}


@pytest.mark.parametrize("write_files", [
    lambda folder: write(folder / "added_tokens.json", **ADDED),
    lambda folder: write(folder / "tokenizer.json", added_tokens=[
        {"id": 0, "content": "[PAD]", "special": True},
        *({"id": number, "content": token, "normalized": False}
          for token, number in ADDED.items())]),
    lambda folder: write(
        folder / "tokenizer_config.json", do_lower_case=True,
        added_tokens_decoder={str(number): {"content": token, "special": True}
                              for token, number in ADDED.items()},
        additional_special_tokens=["<url>"]),
])
def test_added_tokens(folder, write_files):
  write_files(folder)
  encoder = agree(folder, [
      "see <url> @USER", "<URL>the cat<url>", "the cats @user", "[PAD] <url"],
      added=ADDED)
  assert encoder.vocabulary.added == tuple(ADDED)
  assert "3 added tokens" in describe_encoder(str(folder))["tokenizer"]
  text = encoder.text_processor(16)
  words = tf.ragged.constant([["<url>", "film", "@USER"]])
  assert text.pack_words(words)[0].to_list() == [
      [2, ROWS, TOKENS.index("film"), ROWS + 1, 3]]
  again = type(encoder).from_config(encoder.get_config())
  assert again.vocabulary == encoder.vocabulary


@pytest.mark.parametrize("lower_case", [True, False])
def test_added_tokens_that_are_normalized(folder, lower_case, caplog):
  """As `tokenizers` finds them: in every spelling where text is lower-cased."""
  tokenizers = pytest.importorskip("tokenizers")
  theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(
      {token: number for number, token in enumerate(TOKENS)},
      unk_token="[UNK]"))
  theirs.normalizer = tokenizers.normalizers.BertNormalizer(
      lowercase=lower_case)
  theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  theirs.add_tokens(["COVID", "McX", "covfe"])
  theirs.add_special_tokens(["[E1]"])
  theirs.save(str(folder / "tokenizer.json"))
  write(folder / "tokenizer_config.json", do_lower_case=lower_case)
  encoder = ta.load_encoder(str(folder))
  texts = [f"the {word} film" for word in (
      "COVID", "covid", "Covid", "mcx", "McX", "covfe", "[E1]", "[e1]",
      "covids", "COVIDs")]
  assert encoder.text_processor(32).tokenize(texts).to_list() == [
      theirs.encode(text, add_special_tokens=False).ids for text in texts]
  assert encoder.vocabulary.caseless == ("COVID", "McX")
  assert "accents" not in caplog.text
  theirs.add_tokens(["Café"])
  theirs.save(str(folder / "tokenizer.json"))
  ta.load_encoder(str(folder))
  assert ("added token 'Café' is found with its accents alone"
          in caplog.text) == lower_case
  assert type(encoder).from_config(
      encoder.get_config()).vocabulary == encoder.vocabulary


def test_special_tokens_in_the_vocabulary(folder):
  lines = [*TOKENS, "[E1]", "[E2]"]
  (folder / "vocab.txt").write_text("\n".join(lines))
  write(folder / "special_tokens_map.json", additional_special_tokens=[
      "[E1]", {"content": "[E2]"}], cls_token="[CLS]")
  agree(folder, ["[E1]film[E2] [e1] [CLS]"],
        added={"[E1]": ROWS, "[E2]": ROWS + 1}, lines=lines)


def test_other_vocabularies_are_not_taken_for_this_one(folder, caplog):
  ids = {token: number for number, token in enumerate(TOKENS)}
  write(folder / "tokenizer.json", model={"type": "WordPiece", "vocab": ids})
  agree(folder, ["the film"])
  assert "not BERT's" not in caplog.text
  ids["the"], ids["film"] = ids["film"], ids["the"]
  write(folder / "tokenizer.json", model={"type": "WordPiece", "vocab": ids})
  refuse(folder, "6 is 'film' in vocab.txt, 'the' in tokenizer.json: remove")
  write(folder / "tokenizer.json", model={"type": "BPE", "vocab": {}})
  agree(folder, ["the film"])
  assert "is not BERT's: model=BPE is not followed" in caplog.text


@pytest.mark.parametrize("name, values, message", [
    ("added_tokens.json", {"<url>": ROWS + 10}, "1 are added.* rows"),
    ("added_tokens.json", {"<url>": 1 << 40}, "'<url>' has id 1099511627776"),
    ("added_tokens.json", {"<url>": 9}, "id 9, which is another token's"),
    ("added_tokens.json", {"<url>": "9"}, "has id '9'"),
    ("added_tokens.json", {"": ROWS}, "'' is no added token"),
    ("tokenizer.json", {"added_tokens": [["<url>"]]}, "is no added token"),
    ("added_tokens.json", {"<a>": ROWS, "<b>": ROWS}, "another token's"),
    ("special_tokens_map.json", {"additional_special_tokens": ["<url>"]},
     "'<url>' has no id"),
    ("tokenizer.json", {"added_tokens": [
        {"id": ROWS, "content": "<url>", "single_word": True}]}, "single_word"),
    ("tokenizer_config.json", {"strip_accents": "yes"}, "not a boolean"),
    ("tokenizer_config.json", {"added_tokens_decoder": {"x": {
        "content": "<url>"}}}, "has id 'x'"),
])
def test_what_cannot_be_added_is_refused(folder, name, values, message):
  write(folder / name, **values)
  refuse(folder, message)


@pytest.mark.parametrize("name, values, message", [
    ("tokenizer_config.json", {"cls_token": "<s>"}, "cls_token=<s>"),
    ("tokenizer_config.json", {"tokenizer_class": "BertJapaneseTokenizer"},
     "BertJapaneseTokenizer"),
    ("special_tokens_map.json", {"unk_token": {"content": "?"}}, "unk_token"),
])
def test_what_is_not_followed_is_told(folder, caplog, name, values, message):
  write(folder / name, **values)
  open_checkpoint(str(folder))
  assert message in caplog.text


def test_a_vocabulary_of_special_tokens_alone(folder):
  (folder / "vocab.txt").write_text("\n".join(SPECIAL))
  with pytest.raises(ta.InputError, match="no wordpieces"):
    ta.load_encoder(str(folder)).text_processor(16)


def test_hub_preprocessing_cannot_do_everything(folder, tmp_path):
  write(folder / "added_tokens.json", **ADDED)
  with pytest.raises(ta.InputError, match="added tokens.*export_model"):
    export_hub(ta.load_encoder(str(folder)), tmp_path / "hub", 16)


def test_a_bert_with_the_vocabulary_of_an_xlm_roberta(folder):
  """As paraphrase-multilingual-MiniLM and multilingual-e5-small have it."""
  for name in ("vocab.txt", "tokenizer_config.json"):
    (folder / name).unlink()
  model = sentence_piece_reference.train("fairseq")
  (folder / "sentencepiece.bpe.model").write_bytes(model)
  (folder / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
  file = folder / "model.safetensors"
  tensors = safetensors.numpy.load_file(file)
  name = "embeddings.word_embeddings.weight"
  tensors[name] = np.resize(tensors[name], [2000, tensors[name].shape[1]])
  safetensors.numpy.save_file(tensors, file)
  write(folder / "config.json", **json.loads(
      (folder / "config.json").read_text()) | {"vocab_size": 2000})
  encoder = ta.load_encoder(str(folder))
  vocabulary = encoder.vocabulary
  assert (vocabulary.kind, vocabulary.special.start) == ("fairseq", "<s>")
  inputs = encoder.text_processor(12)(["a", "a b"], ["c", "c d e"])
  ids = inputs["input_word_ids"].numpy()[0]
  begin, end, padding = map(vocabulary.id_of, ("<s>", "</s>", "<pad>"))
  assert ids[0] == begin and ids[-1] == padding
  assert list(ids).count(end) == 3
  assert not inputs["input_type_ids"].numpy().any()
  given = ta.load_encoder(
      str(folder), vocab_file=str(folder / "sentencepiece.bpe.model"))
  assert given.vocabulary == vocabulary


def test_a_roberta_with_wordpieces(folder):
  """As klue/roberta-base has it: no segments, whatever BERT's tokenizer says.
  """
  config = json.loads((folder / "config.json").read_text())
  (folder / "config.json").write_text(json.dumps({
      **config, "model_type": "roberta", "type_vocab_size": 1}))
  file = folder / "model.safetensors"
  safetensors.numpy.save_file({
      f"roberta.{name.removeprefix('bert.')}": (
          array[:1] if "token_type" in name else array)
      for name, array in safetensors.numpy.load_file(file).items()}, file)
  encoder = ta.load_encoder(str(folder))
  assert encoder.family == "roberta"
  assert (encoder.vocabulary.kind, encoder.vocabulary.special.start) == (
      "wordpiece", "[CLS]")
  inputs = encoder.text_processor(12)(["good"], ["bad"])
  assert not inputs["input_type_ids"].numpy().any()
  encoder(inputs)


@pytest.mark.parametrize("of_json, of_config, expected", [
    (False, None, False), (True, None, True), (False, True, True),
    (True, False, False)])
def test_the_configuration_goes_before_the_pre_tokenizer(
    tmp_path, of_json, of_config, expected):
  merges = (VOCABULARIES / "roberta" / "merges.txt").read_text().splitlines()
  write(tmp_path / "tokenizer.json", pre_tokenizer={
      "type": "ByteLevel", "add_prefix_space": of_json}, model={
          "type": "BPE", "vocab": json.loads(
              (VOCABULARIES / "roberta" / "vocab.json").read_text()),
          "merges": [line for line in merges if line[:1] != "#"]})
  write(tmp_path / "tokenizer_config.json", **(
      {} if of_config is None else {"add_prefix_space": of_config}))
  vocabulary = find_tokenizer(tmp_path, ENCODERS["roberta"])
  assert vocabulary.add_prefix_space == expected


@pytest.mark.parametrize("family, name, expected", [
    ("roberta", "layer_norm_eps", 1e-12),
    ("xlm-roberta", "layer_norm_eps", 1e-12),
    ("albert", "hidden_act", "gelu_tanh"), ("bert", "hidden_act", "gelu"),
    ("albert", "num_attention_heads", 64), ("bert", "layer_norm_eps", 1e-12)])
def test_what_a_config_does_not_say_is_as_transformers_has_it(
    tmp_path, family, name, expected):
  values = {"model_type": family, "vocab_size": 30, "hidden_size": 128,
            "hidden_act": "gelu", "num_attention_heads": 4,
            "layer_norm_eps": 1e-6}
  del values[name]
  (tmp_path / "config.json").write_text(json.dumps(values))
  config, _ = find_architecture(str(tmp_path / "config.json"))
  assert getattr(config, name) == expected


def test_other_files_beside_a_tokenizer_of_the_family(folder, tmp_path):
  """vocab.json of something else, and a vocab.txt beside byte-level BPE."""
  tokens = list(TOKENS)
  (folder / "vocab.txt").unlink()
  write(folder / "tokenizer.json", model={
      "type": "WordPiece", "vocab": {
          token: number for number, token in enumerate(tokens)}})
  write(folder / "vocab.json", label=0)
  assert ta.load_encoder(str(folder)).vocabulary.kind == "wordpiece"
  for path in (VOCABULARIES / "roberta").glob("*"):
    (tmp_path / path.name).write_bytes(path.read_bytes())
  (tmp_path / "vocab.txt").write_text("[PAD]\n")
  assert find_tokenizer(tmp_path, ENCODERS["roberta"]).kind == "byte_pairs"
