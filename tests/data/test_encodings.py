"""Files in other encodings are read when that is said, or name the remedy."""

import json

import pytest

import tf_adapters as ta
from tf_adapters.data import encodings, rows, squad
from tf_adapters.data.bad_rows import BadRows

ROWS = {
    "windows-1252": "Das „Café“ – 10 €",
    "latin-1": "El año, París",
    "iso8859-2": "Łódź",
    "koi8-r": "Привет, мир",
    "gb18030": "你好世界",
    "shift_jis": "日本語の文",
    "utf-16": "a Ċ b 你好",  # with bytes that are line ends elsewhere
    "utf-16-le": "Grüße",
}


def test_lines_of_every_encoding():
  for encoding, text in ROWS.items():
    content = f"{text}\r\n\n{text}"
    lines = content.encode(encoding).splitlines(keepends=True)
    assert "".join(encodings.decoded("in", lines, encoding)) == content
    assert list(encodings.decoded("in", lines, encoding)) == [
        f"{text}\r\n", "\n", text]


@pytest.mark.parametrize("content, found", [
    ("a é 😀".encode(), "utf-8"), (b"", "utf-8"),
    ("a é".encode()[:-1], "windows-1252"),
    ("Das „Café“".encode("windows-1252"), "windows-1252"),
    (b"\x81 a", "latin-1"), ("a é".encode("utf-16"), "utf-16")])
def test_an_encoding_is_found(tmp_path, monkeypatch, content, found):
  monkeypatch.setattr(encodings, "_CHUNK", 3)  # within characters, too
  (tmp_path / "a").write_bytes(content)
  name = encodings.found_encoding(tmp_path / "a")
  assert name.partition(",")[0] == found
  assert "".join(encodings.read_lines(tmp_path / "a", name)) == content.decode(
      found)


@pytest.mark.parametrize("encoding, text", ROWS.items())
def test_tables_and_sentences_in_their_encoding(tmp_path, encoding, text):
  word = text.replace(" ", "\u3000" if encoding == "shift_jis" else "_")
  for name, content in (
      ("train.csv", f'text,label\n"{text}",x\nb,y\n'),
      ("dev.tsv", f"text\tlabel\n{text}\ty\n"),
      ("x.train.conll", f"{word} O\nso B-x\n")):
    (tmp_path / name).write_bytes(content.encode(encoding))
  task = ta.load_task("tsv", str(tmp_path), encoding=encoding)
  assert task.split("train").first == [text, "b"]
  assert task.split("validation").first == [text]
  (tmp_path / "dev.tsv").unlink()
  task = ta.load_task("tagging", str(tmp_path), encoding=encoding)
  assert task.split("train").words == [[word, "so"]]


def refused(load):
  with pytest.raises(ta.InputError) as caught:
    load()
  return str(caught.value)


def test_what_the_remedy_is_where_it_is_not_said(tmp_path):
  (tmp_path / "train.csv").write_bytes(
      "text,label\na,x\naño,y\n".encode("cp1252"))
  (tmp_path / "train.txt").write_bytes("El O\n\naño O\n".encode("latin-1"))
  (tmp_path / "train.json").write_bytes('{\n"data": "é"}'.encode("latin-1"))
  for load, place in (
      (lambda: ta.load_task("tsv", str(tmp_path)), "train.csv:3"),
      (lambda: ta.load_task("tagging", str(tmp_path)), "train.txt:3"),
      (lambda: squad.load(str(tmp_path / "train.json")), "train.json:2")):
    message = refused(load)
    assert f"{place}: is no UTF-8 text: byte 0x" in message
    assert message.endswith(
        "in windows-1252; say what the file is in: encoding=windows-1252, "
        "encoding=latin-1, or another name; on_bad_row=skip leaves such rows "
        "out")
  (tmp_path / "train.csv").write_bytes("täxt,label\na,x\n".encode("latin-1"))
  assert "train.csv:1: is no UTF-8 text: byte 0xe4, which is 'ä'" in refused(
      lambda: ta.load_task("tsv", str(tmp_path)))
  (tmp_path / "train.csv").write_text("text,label\na,x\n", "utf-16")
  assert refused(lambda: ta.load_task("tsv", str(tmp_path))).endswith(
      "it looks like UTF-16: encoding=utf-16 reads it")


@pytest.mark.parametrize("format, content", [
    ("tsv", "text\ngood\nañ\n"), ("csv", 'text\ngood\n"ñ"\n'),
    ("jsonl", '{"text": "a"}\n{"text": "good"}\n{"text": "ñ"}\n')])
def test_rows_to_predict(format, content):
  lines = content.encode("latin-1").splitlines(keepends=True)

  def read(**options):
    return [cells["text"] for _, cells in rows.read_rows(
        lines, "in", format, ["text"], BadRows("in"), **options)]

  assert "in:3: is no UTF-8 text: byte 0xf1, which is 'ñ'" in refused(read)
  assert "ñ" in read(encoding="latin-1")[-1]


def test_a_wrong_encoding_does_not_make_other_text_of_utf_8(tmp_path):
  (tmp_path / "train.csv").write_text("text,label\na,x\né,y\n")
  for encoding in ("latin-1", "windows-1252", "iso8859-15", "koi8-r"):
    message = refused(
        lambda encoding=encoding: ta.load_task(
            "tsv", str(tmp_path), encoding=encoding))
    assert message.endswith(f"train.csv:3: is UTF-8 text, not {encoding}: "
                            "leave encoding out")
  assert ta.load_task("tsv", str(tmp_path), encoding="utf8").labels == (
      "x", "y")
  (tmp_path / "train.csv").write_text("text,label\na,x\n", "utf-16")
  assert "looks like UTF-16" in refused(
      lambda: ta.load_task("tsv", str(tmp_path), encoding="latin-1"))
  # One that is UTF-8 by accident.
  (tmp_path / "train.csv").write_bytes(
      "text,label\nCAFÉ” so,x\nCafé,y\n".encode("cp1252"))
  task = ta.load_task("tsv", str(tmp_path), encoding="cp1252")
  assert task.split("train").first == ["CAFÉ” so", "Café"]


def test_bytes_that_an_encoding_has_not_are_bad_rows(tmp_path):
  (tmp_path / "train.csv").write_bytes(
      b"text,label\na\x81,x\nb\xe9,x\nc,y\n")
  assert "train.csv:2: is no UTF-8 text: byte 0x81; say what the fi" in (
      refused(lambda: ta.load_task("tsv", str(tmp_path), encoding="utf8")))
  assert "train.csv:2: is no cp1252 text: byte 0x81; say another" in refused(
      lambda: ta.load_task("tsv", str(tmp_path), encoding="cp1252"))
  task = ta.load_task(
      "tsv", str(tmp_path), encoding="cp1252", on_bad_row="skip")
  assert task.split("train").first == ["bé", "c"]
  assert task.notes == (
      "1 row left out: 1 not in cp1252 (first: train.csv:2)",)
  (tmp_path / "train.csv").write_bytes(
      "text,label\na,x\n".encode("utf-16")[:-1])
  assert "train.csv:2: is no utf-16 text: truncated data" in refused(
      lambda: ta.load_task("tsv", str(tmp_path), encoding="utf-16"))


@pytest.mark.parametrize("name", ["utf-9", "", "rot13", "a\0b", "base64"])
def test_encodings_that_there_are_not(name):
  with pytest.raises(ta.InputError, match="encoding must be the name of one"):
    encodings.check_encoding(name)


def test_questions(tmp_path):
  content = {"data": [{"paragraphs": [{"context": "El año es bueno.", "qas": [
      {"id": "1", "question": "¿Qué?", "answers": [
          {"text": "año", "answer_start": 3}]}]}]}]}
  path = tmp_path / "train.json"
  path.write_bytes(json.dumps(content, ensure_ascii=False).encode("latin-1"))
  task = squad.load(str(path), encoding="latin-1")
  assert task.split("train").questions[0].text == "¿Qué?"
