import csv
import gzip
import io
import itertools
import json

import pytest

from tf_adapters import InputError
from tf_adapters.data import rows
from tf_adapters.data.bad_rows import BadRows


class Refused(BadRows):
  """Takes all, and keeps what was said of each."""

  def __init__(self):
    super().__init__("in", "skip")
    self.rows = []

  def refuse(self, place, kind, message, remedy=None):
    self.rows.append((place, message))


def read(content, format, columns=("text",)):
  """(rows, [(line, message)] of bad ones)."""
  bad = Refused()
  lines = io.BytesIO(
      content if isinstance(content, bytes) else content.encode())
  return list(rows.read_rows(lines, "in", format, columns, bad)), bad.rows


def test_formats_are_read_alike():
  expected = [(2, {"text": 'a "quoted" one', "to": "é 😀"}),
              (3, {"text": "", "to": "x" * 10_000})]
  long = "x" * 10_000
  for format, content in (
      ("tsv", f'to\tn\tText\né 😀\t1\ta "quoted" one\n{long}\t2\t\n'),
      ("csv", f'to,n,Text\né 😀,1,"a ""quoted"" one"\n{long},2,\n'),
      ("jsonl", '\n{"n": 1, "to": "é 😀", "text": "a \\"quoted\\" one"}\n'
       f'{{"text": "", "to": "{long}"}}')):
    for odd in (content, "\ufeff" + content, content.replace("\n", "\r\n"),
                content + "\n"):
      assert read(odd, format, ["text", "to"]) == (expected, [])


def test_rows_are_known_by_the_line_that_they_begin_on():
  found, bad = read('text,n\n"a\nb",1\nc,2\n\n"d\r\n\r\ne"\nf,3\n', "csv")
  assert found == [(2, {"text": "a\nb"}), (4, {"text": "c"}),
                   (9, {"text": "f"})]
  assert bad == [(6, "1 columns, expected 2")]


def test_an_empty_line_is_a_text_where_there_is_one_column():
  assert read("text\na\n\nb\n\n", "tsv") == (
      [(2, {"text": "a"}), (3, {"text": ""}), (4, {"text": "b"})], [])
  assert read("text\tn\na\t1\n\nb\t2\n", "tsv") == (
      [(2, {"text": "a"}), (4, {"text": "b"})], [])


def test_other_rows_than_the_bad_ones_are_read():
  found, bad = read("text\tn\na\t1\nb\nc\t2\t3\nd\t4\n", "tsv")
  assert [line for line, _ in found] == [2, 5]
  assert bad == [(3, "1 columns, expected 2"), (4, "3 columns, expected 2")]
  deep = "[" * 100_000
  found, bad = read("\n".join([
      '{"text": "a"}', '{"text": "b"', '["c"]', '{"text": 4}', '{"text": null}',
      "{}", deep, "9" * 5000, '{"text": "d"}']), "jsonl")
  assert [line for line, _ in found] == [1, 5, 6, 9]
  assert found[1][1] == {"text": None}
  assert found[2][1] == {}
  assert [line for line, _ in bad] == [2, 3, 4, 7, 8]
  assert bad[0][1] == "not readable as JSON: Expecting ',' delimiter"
  assert bad[2][1] == "expected a string in 'text'"
  found, bad = read("text\tn\na\0\t1\nb\t2\n", "tsv")
  assert [line for line, _ in found] == [3]
  assert bad == [(2, "has a NUL byte in it")]


@pytest.mark.parametrize("content, format, message", [
    ("", "tsv", "^in: is empty"),
    ("\n\n", "csv", "^in: is empty"),
    ("words\tn\na\t1\n", "tsv", "^in: no column 'text'; its columns are words"),
    ("text,text\n", "csv", "^in:1: column 'text' stands there twice"),
    ("Text,TEXT\n", "csv", "^in: column 'text' may be 'Text' or 'TEXT': give"),
    ('[{"text": "a"}, {"text": "b"}]', "jsonl", "^in:1: .*not one array over"),
    ('[\n{"text": "a"}\n]', "jsonl", "^in:1: .*not one array over the whole"),
    ('{\n"text": "a"}\n', "jsonl", "^in:1: .*not one object over the whole"),
    ('{"text": "a"}\r{"text": "b"}\r', "jsonl", "^in:1: has a carriage return"),
    ("text\ra\rb\r", "tsv", "^in:1: has a carriage return in it"),
    ('{"text": "a"}\n'.encode("utf-16"), "jsonl", "looks like UTF-16"),
    (gzip.compress(b"text\na\n", mtime=0), "tsv", "is compressed with gzip"),
    ('text\na\n"b\nc\n', "csv", "^in:3: a quoted cell does not end"),
    ('text,n\na,1\n"b" c,2\n', "csv", "^in:3: a quoted cell does not end"),
])
def test_what_is_no_table_is_refused(content, format, message):
  with pytest.raises(InputError, match=message):
    read(content, format)


@pytest.mark.parametrize("format, content", [
    ("csv", "Text,text,N\na,b,1\n"),
    ("jsonl", '{"Text": "a", "text": "b", "N": "1"}\n')])
def test_a_column_that_is_written_so_is_meant(format, content):
  for name, cell in (("text", "b"), ("Text", "a")):
    found = rows.read_rows([line.encode() for line in content.splitlines(True)],
                           "in", format, [name, "n"], BadRows("in"))
    assert [cells for _, cells in found] == [{name: cell, "n": "1"}]
  if format == "jsonl":  # where it may be either, there is none
    (_, cells), = rows.read_rows(
        [content.encode()], "in", format, ["TEXT"], BadRows("in"))
    assert not cells


def test_nothing_can_be_read():
  assert read("", "jsonl") == ([], [])
  assert read("text\n", "tsv") == ([], [])


@pytest.mark.parametrize("format, first, line", [
    ("tsv", [b"text\n"], b"a\n"), ("csv", [b"text\n"], b'"a"\n'),
    ("jsonl", [], b'{"text": "a"}\n')])
def test_files_need_no_end(format, first, line):
  endless = itertools.chain(first, itertools.repeat(line))
  found = rows.read_rows(endless, "in", format, ["text"], BadRows("in"))
  assert [cells["text"] for _, cells in itertools.islice(found, 3)] == ["a"] * 3


def test_a_row_can_be_read_again_whatever_it_holds():
  cells = {"n": 1, "text": 'a\t"b",\r\n\udcff é', "none": None}
  tsv, quoted, objects = (
      rows.write_row(format, cells) for format in rows.FORMATS)
  for line, separator in ((tsv, "\t"), (quoted, ",")):
    assert list(csv.reader(io.StringIO(line.decode(), newline=""),
                           delimiter=separator)) == [
                               ["1", 'a\t"b",\r\n\\udcff é', ""]]
  assert objects.count(b"\n") == 1
  assert json.loads(objects) == cells
  assert [rows.write_header(format, ["n", "a b"]) for format in rows.FORMATS
          ] == [b"n\ta b\n", b"n,a b\n", b""]


def test_endings_tell_formats():
  assert [rows.format_of(f"a.b/c{ending}") for ending in (
      ".tsv", ".CSV", ".jsonl", ".json", ".ndjson")] == [
          "tsv", "csv", *["jsonl"] * 3]
  with pytest.raises(InputError, match=r"x\.txt: its name has to end in \.tsv"):
    rows.format_of("x.txt")
