import gzip
import random
import tracemalloc

import pytest

from tf_adapters import InputError
from tf_adapters.data import tables
from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.encodings import LATIN_1, MIXED


def read_tsv(path, on_bad_row="error", **options):
  return tables.read_tsv(path, BadRows(path, on_bad_row), **options)


def read_csv(path, on_bad_row="error", **options):
  return tables.read_csv(path, BadRows(path, on_bad_row), **options)


def written(tmp_path, content, name="t.tsv"):
  path = tmp_path / name
  path.write_bytes(
      content if isinstance(content, bytes) else content.encode())
  return path


def test_tsv_takes_quotation_marks_as_they_are(tmp_path):
  table = read_tsv(written(
      tmp_path, '\ufefftext\tlabel\r\n"Lone quote\ta\r\n\r\nx\u2028y\tb\n'))
  assert table.header == ("text", "label")
  assert table.column("TEXT") == ['"Lone quote', "x\u2028y"]
  assert list(table.lines) == [2, 4]


def test_csv_takes_cells_in_quotes(tmp_path):
  table = read_csv(written(
      tmp_path, 'text,label\n"two\nlines, ""quoted""",a\nplain,b\n'))
  assert table.column("text") == ['two\nlines, "quoted"', "plain"]
  assert list(table.lines) == [2, 4]


def test_an_empty_line_is_a_row_of_a_file_of_one_column(tmp_path):
  table = read_tsv(written(tmp_path, "text\ngood\n\nbad\n\n"))
  assert table.column("text") == ["good", "", "bad"]


def test_latin_1(tmp_path):
  table = read_csv(written(tmp_path, b"text\ncaf\xe9\n"), encoding=LATIN_1)
  assert table.column("text") == ["café"]


@pytest.mark.parametrize("read, tab", [(read_tsv, "\t"), (read_csv, ",")])
def test_bad_rows_are_left_out_and_counted(tmp_path, read, tab):
  lines = [b"a\tb", b"1\t2", b"3", b"4\t5", b"6\t7\t8", b"9\0\t9", b"\xff\t1",
           b"10\t11"]
  path = written(tmp_path, b"\n".join(lines).replace(b"\t", tab.encode()))
  table = read(path, "skip")
  assert table.column("a") == ["1", "4", "10"]
  assert list(table.lines) == [2, 4, 8]
  assert list(table.numbers) == [0, 2, 6]
  assert table.bad_rows.count == 4
  assert table.bad_rows.note() == (
      "4 rows left out: 2 of another number of columns (first: t.tsv:3), 1 "
      "with a NUL byte (first: t.tsv:6), 1 not in UTF-8 (first: t.tsv:7)")


def test_known_rows_of_another_width_are_no_error(tmp_path):
  path = written(tmp_path, "a\tb\n1\t2\n3\n4\t5\n")
  table = read_tsv(path, known_malformed=True)
  assert table.column("a") == ["1", "4"]
  assert table.bad_rows.count == 1
  path = written(tmp_path, "a\tb\n1\t2\n3\0\t4\n")
  with pytest.raises(InputError, match="t.tsv:3: has a NUL byte in it"):
    read_tsv(path, known_malformed=True)


def test_the_first_row_does_not_decide_how_wide_others_are(tmp_path):
  table = read_tsv(written(tmp_path, "1\n2\t3\n"), "skip", width=2)
  assert table.column(0) == ["2"]
  assert table.bad_rows.count == 1


@pytest.mark.parametrize("read", [read_tsv, read_csv])
def test_empty_lines_before_the_header_do_not_count(tmp_path, read):
  tab = "\t" if read is read_tsv else ","
  table = read(written(tmp_path, f"\n\r\na{tab}b\n1{tab}2\n"))
  assert table.header == ("a", "b")
  assert list(table.lines) == [4]


@pytest.mark.parametrize("read, content, message", [
    (read_tsv, "", "is empty"),
    (read_tsv, "a\tb\n1\t2\n3\n", ":3: 1 columns, expected 2"),
    (read_csv, "a,b\n1,2,3\n", ":2: 3 columns, expected 2"),
    (read_tsv, "a\ta\n1\t2\n", ":1: column 'a' stands there twice"),
    (read_tsv, b"a\nfine\n\xff\xfe\n", ":3: is no UTF-8 text"),
    (read_csv, b"\xef\xbb\xbfa\nb\n\xff\n", ":3: is no UTF-8 text"),
    (read_tsv, "a\tb\n1\t2\0\n", ":2: has a NUL byte in it"),
    (read_tsv, b"a\xff\tb\n1\t2\n", ":1: is no UTF-8 text: byte 0xff"),
    (read_tsv, "\n \t\n1\t2\n", ":2: expected the names of columns"),
    (read_tsv, "a\tb\r1\t2\r", ":1: has a carriage return in it: lines have"),
    (read_tsv, "a\tb\n1\t2\n".encode("utf-16"), "looks like UTF-16"),
    (read_csv, "a,b\n1,2\n".encode("utf-16-be"), "looks like UTF-16"),
    (read_csv, "a,b\n1,2\n".encode("utf-16-le"), "looks like UTF-16"),
    (read_csv, gzip.compress(b"a,b\n1,2\n", mtime=0),
     "is compressed with gzip"),
    (read_csv, b"PK\x03\x04\x14", "a zip archive or a spreadsheet"),
    (read_tsv, "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (read_csv, 'a,b\r\n"1\r\n",2\r\n3\r\n', ":4: 1 columns, expected 2"),
    (read_csv, 'a,b\r"1\r",2\r3\r', ":4: 1 columns, expected 2"),
    (read_csv, 'a\n1\n"2\n3\n', ":3: a quoted cell does not end"),
])
def test_says_what_is_wrong_and_where(tmp_path, read, content, message):
  path = written(tmp_path, content)
  with pytest.raises(InputError, match=message) as caught:
    read(path)
  assert str(path) in str(caught.value)


def test_a_name_that_is_written_so_is_meant(tmp_path):
  table = read_csv(written(tmp_path, "text,TEXT,Label\n1,2,3\n"))
  assert [table.column(name) for name in ("text", "TEXT", "label")] == [
      ["1"], ["2"], ["3"]]
  with pytest.raises(InputError, match="'Text' may be 'text' or 'TEXT': give"):
    table.column("Text")


def test_missing_columns_and_files_are_named(tmp_path):
  table = read_tsv(written(tmp_path, "text\tlabel\nx\ty\n"))
  with pytest.raises(InputError, match="'txt'; its columns are text, label"):
    table.column("txt")
  with pytest.raises(InputError, match=r"nowhere\.tsv: cannot be read"):
    read_tsv(tmp_path / "nowhere.tsv")


def test_takes_little_more_memory_than_the_file(tmp_path):
  """With a few short cells in every row, as published files have them."""
  rng = random.Random(0)
  row = ",".join(["07/26/2016", "Mortgage", "café", "", "Web", "Yes", "No"])
  path = written(tmp_path, "a,b,c,d,e,f,g,text\n" + "".join(
      f"{row},{'word ' * rng.randrange(20)}{number}\n"
      for number in range(20000)))
  tracemalloc.start()
  table = read_csv(path, encoding=MIXED)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(table) == 20000
  assert peak < 2.5 * path.stat().st_size
