import random
import tracemalloc

import pytest

from tf_adapters import InputError
from tf_adapters.data.tables import MIXED, read_csv, read_tsv


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
  assert table.lines == [2, 4]


def test_csv_takes_cells_in_quotes(tmp_path):
  table = read_csv(written(
      tmp_path, 'text,label\n"two\nlines, ""quoted""",a\nplain,b\n'))
  assert table.column("text") == ['two\nlines, "quoted"', "plain"]
  assert table.lines == [2, 4]


def test_an_empty_line_is_a_row_of_a_file_of_one_column(tmp_path):
  table = read_tsv(written(tmp_path, "text\ngood\n\nbad\n\n"))
  assert table.column("text") == ["good", "", "bad"]


def test_latin_1(tmp_path):
  table = read_csv(written(tmp_path, b"text\ncaf\xe9\n"), encoding="latin-1")
  assert table.column("text") == ["café"]


def test_rows_of_another_width_can_be_counted(tmp_path):
  path = written(tmp_path, "a\tb\n1\t2\n3\n4\t5\n")
  table = read_tsv(path, skip_malformed=True)
  assert table.column("a") == ["1", "4"]
  assert table.skipped == 1


@pytest.mark.parametrize("read, content, message", [
    (read_tsv, "", "is empty"),
    (read_tsv, "a\tb\n1\t2\n3\n", ":3: 1 columns, expected 2"),
    (read_csv, "a,b\n1,2,3\n", ":2: 3 columns, expected 2"),
    (read_tsv, "a\tA\n1\t2\n", ":1: column 'a' stands there twice"),
    (read_tsv, b"a\nfine\n\xff\xfe\n", ":3: not utf-8-sig text"),
    (read_csv, b"\xef\xbb\xbfa\nb\n\xff\n", ":3: not utf-8-sig text"),
    (read_csv, 'a,b\r\n"1\r\n",2\r\n3\r\n', ":4: 1 columns, expected 2"),
    (read_csv, 'a,b\r"1\r",2\r3\r', ":4: 1 columns, expected 2"),
    (read_csv, 'a\n1\n"2\n3\n', ":3: a quoted cell does not end"),
])
def test_says_what_is_wrong_and_where(tmp_path, read, content, message):
  path = written(tmp_path, content)
  with pytest.raises(InputError, match=message) as caught:
    read(path)
  assert str(path) in str(caught.value)


def test_missing_columns_and_files_are_named(tmp_path):
  table = read_tsv(written(tmp_path, "text\tlabel\nx\ty\n"))
  with pytest.raises(InputError, match="'txt'; its columns are text, label"):
    table.column("txt")
  with pytest.raises(InputError, match=r"nowhere\.tsv: can not be read"):
    read_tsv(tmp_path / "nowhere.tsv")


def test_takes_little_more_memory_than_the_file(tmp_path):
  """With a few short cells in every row, as published files have them."""
  rng = random.Random(0)
  row = ",".join(["07/26/2016", "Mortgage", "café", "", "Web", "Yes", "No"])
  path = written(tmp_path, "a,b,c,d,e,f,g,text\n" + "".join(
      f"{row},{'word ' * rng.randrange(20)}{number}\n"
      for number in range(20000)))
  tracemalloc.start()
  table = read_csv(path, MIXED)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(table) == 20000
  assert peak < 2.5 * path.stat().st_size
