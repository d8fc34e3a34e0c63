"""Files that are made up and damaged: each is refused, or accounted for.

Whatever a file holds, a reader says in one line what is wrong with it, or each
of its rows is kept to the letter or counted as left out. What the rows of a
file are is found out here a second time, without the readers.
"""

import collections
import gzip
import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import tf_adapters as ta
from tf_adapters.data import rows, squad
from tf_adapters.data.bad_rows import (
    NO_LABEL,
    NO_TEXT,
    NO_UTF_8,
    NUL,
    OTHER_COLUMNS,
    UNKNOWN_LABEL,
    BadRows,
)

FORMATS = ("tsv", "csv", "cola", "jsonl", "tagging", "squad")
# Files that the slow tests write, over all formats, and the fast ones.
FILES = 6000
FAST_FILES = 600

NAMES = {"tsv": "train.tsv", "csv": "train.csv", "cola": "train.tsv",
         "jsonl": "in.jsonl", "tagging": "train.conll", "squad": "train.json"}
LABELS = {"tsv": ("x", "y"), "csv": ("x", "y"), "cola": ("0", "1"),
          "tagging": ("O", "B-x")}


# What a whole file is refused for, even where bad rows are left out.
OF_FILES = re.compile(
    "looks like UTF-16|compressed with gzip|a zip archive|a Git LFS pointer|"
    "a carriage return in it|is empty|the names of columns|stands there twice|"
    "no column '(text|label)'|a quoted cell does not end|not readable as JSON|"
    "expected a JSON object|of the right type|has no questions|"
    "expected JSON lines|column 1 (holds numbers|counts the words|is )|"
    # Of the names of columns, and of JSON.
    "([ct]sv:[1-4]|json:[0-9]+): is no UTF-8 text")


def load(format, path, on_bad_row):
  """Returns the rows that are kept of a file, and the note on the others.

  Kept are texts; words of sentences; identities and texts of questions.
  """
  folder = str(path.parent)
  if format == "jsonl":
    bad_rows = BadRows(path, on_bad_row)
    with open(path, "rb") as file:
      kept = [cells.get("text", "absent") for _, cells in rows.read_rows(
          file, str(path), "jsonl", ["text"], bad_rows)]
    return kept, bad_rows.note()
  if format == "squad":
    task = squad.load(str(path), on_bad_row=on_bad_row)
    kept = [(q.id, q.text) for q in task.splits["train"].questions]
  elif format == "tagging":
    task = ta.load_task("tagging", folder, on_bad_row=on_bad_row,
                        labels=LABELS["tagging"])
    kept = task.splits["train"].words
  else:
    task = ta.load_task("cola" if format == "cola" else "tsv", folder,
                        labels=LABELS[format], on_bad_row=on_bad_row)
    kept = task.splits["train"].first
    assert len(task.splits["train"].labels) == len(kept)
  return kept, "".join(note for note in task.notes if "left out:" in note)


def reasons(note):
  """Reads a note on rows left out: {reason: (count, first place)}."""
  found = {reason: (int(count), first) for count, reason, first in re.findall(
      r"(\d+) ([^(]+) \(first: [\w.]+:([^)]+)\)", note.partition(": ")[2])}
  assert sum(count for count, _ in found.values()) == int(
      (note or "0").split()[0])
  return found


def is_behind_blank_lines(message, content):
  """Whether bytes that are refused are among the names of columns."""
  line = re.search(r"[ct]sv:(\d+): is no UTF-8 text", message)
  return line is not None and not b"".join(
      re.split(b"\r\n|\r|\n", content)[:int(line[1]) - 1]).strip()


def loaded(format, path):
  """As `load` with rows left out; None for a file that is refused.

  Raises:
    AssertionError: it is refused in another way than it should be.
  """
  for on_bad_row in ("error", "skip"):
    try:
      kept, note = load(format, path, on_bad_row)
    except ta.InputError as error:
      message = str(error)
      assert message.startswith(f"{path}:")
      assert len(message.splitlines()) == 1
      assert message.isprintable() and len(message) < 5000
      assert on_bad_row == "error" or OF_FILES.search(message) or (
          is_behind_blank_lines(message, path.read_bytes())), message
      kept = None
    else:
      # What is left out without being asked to is so in published files.
      assert on_bad_row == "skip" or not note or format == "squad"
  return kept if kept is None else (kept, note)


# Rows that are planted.

LETTERS = st.characters(codec="utf-8", exclude_characters="\t\r\n\0",
                        exclude_categories=["Cs"])
TEXTS = st.text(st.sampled_from('ab é"😀,\u2028\x0b#') | LETTERS, max_size=9)
KINDS = {
    "tsv": (None, OTHER_COLUMNS, NUL, NO_UTF_8, UNKNOWN_LABEL, NO_LABEL,
            NO_TEXT),
    "jsonl": (None, "that are no JSON objects",
              "with something else than a string"),
    "tagging": (None, NUL, NO_UTF_8, UNKNOWN_LABEL, NO_LABEL),
    "squad": (None, "of another format", "without an answer",
              "with no answer that stands in the context",
              "with an id that another one has"),
}
KINDS["csv"] = KINDS["tsv"]
# A published file is taken as it is.
KINDS["cola"] = KINDS["tsv"][:-1]


def planted(format):
  """Rows: what is wrong with each, or None, a text and a variation."""
  return st.lists(st.tuples(
      st.sampled_from(KINDS[format]) | st.none(), TEXTS,
      st.integers(0, 5)), max_size=8)


def table_row(format, kind, text, variation):
  """A row's bytes without the end of the line, and the text in it."""
  first, second = LABELS[format]
  if kind == NO_TEXT:
    text = [text[:0], " ", "\u3000"][variation % 3]
  label = {UNKNOWN_LABEL: ["z", "X" if format != "cola" else "2", "x y"],
           NO_LABEL: ["", " "]}.get(kind, [first, second, f" {second} "])
  label = label[variation % len(label)]
  cells = ["gj04", label, "", text] if format == "cola" else [text, label]
  if kind == OTHER_COLUMNS:
    cells = cells[1:] if variation % 2 else [*cells, text]
  if format == "csv":
    cells = ['"{}"'.format(cell.replace('"', '""')) for cell in cells]
  row = ("," if format == "csv" else "\t").join(cells).encode()
  place = row.find(text.encode()) if text else 0
  if format == "csv" and row.startswith(b'"'):
    place = 1
  damage = {NUL: b"\0", NO_UTF_8: b"\xff"}.get(kind, b"")
  return row[:place] + damage + row[place:]


def write_table(format, planted_rows):
  """(content, kept texts, {reason: (count, first line)})."""
  end = b"\r\n" if format == "csv" else b"\n"
  lines = [] if format == "cola" else [
      b"Text,label" if format == "csv" else b"text\tLABEL"]
  kept, left_out, line = [], {}, len(lines)
  for kind, text, variation in planted_rows:
    if format != "cola" and not text.strip():
      text = "so"
    if format == "csv" and variation == 4 and kind != NO_TEXT:
      text = f"{text}\n{text}\r\n"
    line += 1
    if variation == 5:
      lines.append(b"")
      line += 1
    lines.append(table_row(format, kind, text, variation))
    if kind is None:
      kept.append(text)
    else:
      count, first = left_out.get(kind, (0, str(line)))
      left_out[kind] = count + 1, first
    line += lines[-1].count(b"\n")
  return end.join(lines) + end, kept, left_out


def write_json_lines(planted_rows):
  lines, kept, left_out = ['{"text": "so"}'], ["so"], {}
  for kind, text, variation in planted_rows:
    wrong = {"that are no JSON objects": [
        '{"text": "', f'["{variation}"]', "nan", "[" * 9999, "1" * 5000,
        '{"text": "a\tb"}'],
             "with something else than a string": [
        json.dumps({"text": value})
        for value in (1, [text, 1], {"text": text}, True, 1e400, 0.5)]}
    if kind is None:
      kept.append(text)
      lines.append(json.dumps(
          {"text": text, "n": variation}, ensure_ascii=bool(variation % 2)))
    else:
      lines.append(wrong[kind][variation])
      count, first = left_out.get(kind, (0, str(len(lines))))
      left_out[kind] = count + 1, first
  return "\n".join(lines).encode(), kept, left_out


def write_sentences(planted_rows):
  content, kept, left_out = b"very O\n\n", [["very"]], {}
  for kind, text, variation in planted_rows:
    # Blanks of other scripts, and "#", are parts of words.
    words = text.split(" ") if text.strip(" ") else ["so"]
    words = [word for word in words if word]
    blank = " \t"[variation % 2]
    words = ["#", *words, "said"]
    lines = [f"{word}{blank}{('O', 'B-x')[variation % 2]}".encode()
             for word in words]
    bad = 1 + variation % (len(words) - 2)
    lines[bad] = {
        NUL: b"a\0 O", NO_UTF_8: b"a\xff O", UNKNOWN_LABEL: b"a I-x",
        NO_LABEL: b"a"}.get(kind, lines[bad])
    if kind is None:
      kept.append(words)
    else:
      line = content.count(b"\n") + bad + 1
      count, first = left_out.get(kind, (0, str(line)))
      left_out[kind] = count + 1, first
    content += b"\n".join(lines) + b"\n\n" + b"\r\n" * (variation == 5)
  return content, kept, left_out


def write_questions(planted_rows):
  context = "The film is good."
  qas, kept, left_out = [], [], {}
  for kind, text, variation in [(None, "so?", 0), *planted_rows]:
    fine = {"id": str(len(qas)), "question": text, "answers": [
        {"text": "film", "answer_start": variation}]}
    qas.append(fine)
    match kind:
      case None:
        kept.append((fine["id"], text))
        continue
      case "of another format":
        qas[-1] = [
            {**fine, "question": 5}, {**fine, "id": None}, text, None,
            {**fine, "answers": [{"text": ["film"]}]},
            {**fine, "question": "\ud83d"}][variation]
      case "without an answer":
        fine["answers"] = []
      case "with no answer that stands in the context":
        fine["answers"][0]["text"] = "plot"
      case _:
        fine["id"] = "0"
    count, first = left_out.get(
        kind, (0, f"data[0].paragraphs[0].qas[{len(qas) - 1}]"))
    left_out[kind] = count + 1, first
  content = {"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}
  return json.dumps(content).encode(), kept, left_out


def write(format, planted_rows):
  """(content, what is kept, {reason: (count, first place)})."""
  match format:
    case "jsonl":
      return write_json_lines(planted_rows)
    case "tagging":
      return write_sentences(planted_rows)
    case "squad":
      return write_questions(planted_rows)
  return write_table(format, planted_rows)


# Rows of any file, found without the readers.

def rows_of_table(format, content):
  """(text, whether it is fine) of each row; None for other separators."""
  text = content.decode(errors="surrogateescape").removeprefix("\ufeff")
  if format == "csv":
    table = rows_of_csv(text)
  else:
    table = [re.sub("\r$", "", line).split("\t") for line in text.split("\n")]
    table = [cells for cells in table if cells != [""]]
  header = ["", "label", "", "text"] if format == "cola" else [
      name.strip().lower() for name in table.pop(0)]
  if "text" not in header or "label" not in header:
    return None
  found = []
  for cells in table:
    named = dict(zip(header, cells))
    found.append((named.get("text"), (
        len(cells) == len(header) and "\0" not in "".join(cells)
        and not re.search("[\ud800-\udfff]", "".join(cells))
        and named["label"].strip() in LABELS[format]
        and (format == "cola" or named["text"].strip()))))
  return found


def rows_of_csv(text):
  """Cells of each row, where quotes stand as they should."""
  table, cells, cell = [], [], ""
  state = "start"  # of a cell; else "plain", "quoted", "behind" a quoted one
  for c in re.findall("\r\n|.", text, re.DOTALL):
    if state == "quoted":
      cell, state = (cell, "behind") if c == '"' else (cell + c, state)
    elif c == '"' and state in ("start", "behind"):
      cell, state = (cell + '"' * (state == "behind"), "quoted")
    elif c == ",":
      cells, cell, state = [*cells, cell], "", "start"
    elif c in ("\r", "\n", "\r\n"):
      if cells or cell or state != "start":
        table.append([*cells, cell])
      cells, cell, state = [], "", "start"
    else:
      assert state != "behind"
      cell, state = cell + c, "plain"
  if cells or cell or state != "start":
    table.append([*cells, cell])
  assert state != "quoted"
  return table


def rows_of_json_lines(content):
  found = []
  for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
    line = line.decode(errors="surrogateescape")
    if line.strip():
      try:
        value = json.loads(line)
      except (ValueError, RecursionError):
        value = None
      value = value.get("text", "absent") if isinstance(value, dict) else 0
      found.append((value, isinstance(value, str | None)
                    and not re.search("[\ud800-\udfff]", line)))
  return found


def rows_of_sentences(content):
  text = content.decode(errors="surrogateescape").removeprefix("\ufeff")
  blocks, known = [], []
  for apart, group in itertools.groupby(
      text.split("\n"), lambda line: not line.strip(" \t\r")
      or bool(re.match(r" *-DOCSTART-([ \t]|\r*$)", line))):
    if not apart:
      lines = [line.rstrip("\r") for line in group]
      blocks.append([(line, line.split("\t") if "\t" in line else
                      [cell for cell in line.split(" ") if cell])
                     for line in lines])
  plain = [cells for block in blocks for line, cells in block
           if line[0] != "#"] or [cells for block in blocks
                                  for line, cells in block]
  widths = collections.Counter(max(2, len(cells)) for cells in plain)
  width = widths.most_common(1)[0][0] if widths else 2
  known = {cells[-1].strip() for cells in plain
           if len(cells) == width and cells[0][:1] != "#"}
  plain = [cells[0] for cells in plain if len(cells) == width]
  numbered = width > 2 and len(plain) > 1 and 0.9 * len(plain) <= sum(
      bool(re.fullmatch(r"\d+([-.]\d+)?", cell)) for cell in plain)

  def is_comment(row):
    line, cells = row
    return re.match("#($|[ \t]|(begin|end) document\\b)", line) and (
        len(cells) != width or ("\t" not in line and cells[-1].strip()
                                not in {*known, "B-x", "O"}))

  found = []
  for block in blocks:
    cells = [cells for _, cells in itertools.dropwhile(is_comment, block)]
    if cells:
      found.append(([line[numbered] for line in cells if line[numbered:]], all(
          len(line) == width and line[numbered].strip(" \t\r")
          and line[-1].strip() in LABELS["tagging"]
          and not re.search("[\0\ud800-\udfff]", "".join(line))
          for line in cells)))
  return found


def rows_of_questions(content):
  """(None, False) of each question: whether it is fine is not found out."""
  data = json.loads(content.decode("utf-8-sig"))["data"]
  return [(None, False) for article in data
          for paragraph in article["paragraphs"] for _ in paragraph["qas"]]


def rows_of(format, content):
  match format:
    case "jsonl":
      return rows_of_json_lines(content)
    case "tagging":
      return rows_of_sentences(content)
    case "squad":
      return rows_of_questions(content)
  return rows_of_table(format, content)


# Damage.

SNIPPETS = [
    b"\0", b'"', b"\t", b"\r", b"\n", b"\r\n", b",", b"\xef\xbb\xbf", b"\xff",
    b"\xed\xa0\x80", b"\xc2\x85", "\u2028".encode(), b"# ", b"\\ud83d", b"[",
    b"{", b"nan", b"X", b" ", b"-DOCSTART- O\n", b"x" * 100_000]
ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1",
             "utf-32"]


def lines_changed(content, number, change):
  """Content with a change of one of its lines, cells in a list."""
  lines = content.split(b"\n")
  number %= len(lines)
  mark = b"\t" if b"\t" in lines[number] else b","
  lines[number:number + 1] = [
      mark.join(cells) for cells in change(lines[number].split(mark))]
  return b"\n".join(lines)


DAMAGES = {
    "cut": lambda content, n, m: content[:n % (len(content) + 1)],
    "flip": lambda content, n, m: bytes(
        byte ^ m * (place == n % len(content))
        for place, byte in enumerate(content)),
    "insert": lambda content, n, m: (
        content[:n % (len(content) + 1)] + SNIPPETS[m % len(SNIPPETS)]
        + content[n % (len(content) + 1):]),
    "without": lambda content, n, m: content.replace(
        SNIPPETS[m % len(SNIPPETS)], b""),
    "no line": lambda content, n, m: lines_changed(
        content, n, lambda cells: []),
    "line twice": lambda content, n, m: lines_changed(
        content, n, lambda cells: [cells, cells]),
    "no cell": lambda content, n, m: lines_changed(
        content, n, lambda cells: [cells[m % 2:]]),
    "cell twice": lambda content, n, m: lines_changed(
        content, n, lambda cells: [cells + cells[m % 2:]]),
    "encoding": lambda content, n, m: content.decode(errors="replace").encode(
        ENCODINGS[m % len(ENCODINGS)], "replace"),
    "ends": lambda content, n, m: content.replace(
        b"\n", [b"\r\n", b"\r", b"\n\n"][m % 3]),
    "gzip": lambda content, n, m: gzip.compress(content),
}
DAMAGE = st.lists(st.tuples(
    st.sampled_from(sorted(DAMAGES)), st.integers(0, 9999),
    st.integers(1, 255)), max_size=3)
FROM_NOTHING = st.binary(max_size=99) | st.text(st.sampled_from(
    'text\tlabel,xyO01"\r\n{}[]: \0\ufeff'), max_size=99).map(str.encode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("fuzz")


def run(folder, format, files):
  """Both properties, on as many files of a format."""
  path = folder / format / NAMES[format]
  path.parent.mkdir(exist_ok=True)
  written = collections.Counter()
  options = settings(
      max_examples=files // 2, deadline=None, database=None,
      suppress_health_check=list(HealthCheck))

  @options
  @given(planted(format))
  def rows_are_kept_or_counted(planted_rows):
    content, kept, left_out = write(format, planted_rows)
    path.write_bytes(content)
    written[format] += 1
    found = loaded(format, path)
    if found is None:
      # Nothing at all is no file of that kind.
      assert not planted_rows
      return
    assert found[0] == kept
    assert reasons(found[1]) == left_out

  @options
  @given(planted(format), DAMAGE, st.none() | st.none() | FROM_NOTHING)
  def damage_is_refused_or_counted(planted_rows, damages, instead):
    content = write(format, planted_rows)[0] if instead is None else instead
    for name, n, m in damages:
      content = DAMAGES[name](content, n, m)
    path.write_bytes(content)
    written[format] += 1
    found = loaded(format, path)
    if found is None:
      return
    there = rows_of(format, content)
    if there is None:  # something else than usual separates its cells
      return
    if format != "squad":
      assert found[0] == [text for text, fine in there if fine]
    left_out = sum(count for count, _ in reasons(found[1]).values())
    assert len(found[0]) + left_out == len(there)

  rows_are_kept_or_counted()
  damage_is_refused_or_counted()
  assert written[format] >= files


@pytest.mark.parametrize("format", FORMATS)
def test_rows_are_kept_or_counted(folder, format):
  run(folder, format, FAST_FILES // len(FORMATS))


@settings(max_examples=100, deadline=None,
          suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(
    TEXTS, st.sampled_from(["good", "Good ", " good", "bad", "BAD", "", "ß"])),
    max_size=6), st.sampled_from(["tsv", "csv"]))
def test_no_class_is_another_one_in_another_case(folder, table, format):
  path = folder / format / NAMES[format]
  path.parent.mkdir(exist_ok=True)
  mark = "," if format == "csv" else "\t"
  cells = [("text", "label"), *table]
  if format == "csv":
    cells = [['"{}"'.format(cell.replace('"', '""')) for cell in row]
             for row in cells]
  path.write_bytes("\n".join(map(mark.join, cells)).encode())
  wanted = {label.strip() for _, label in table if label.strip()}
  try:
    task = ta.load_task("tsv", str(path.parent), on_bad_row="skip")
  except ta.InputError as error:
    alike = len({label.casefold() for label in wanted}) < len(wanted)
    assert alike == ("in case only: give both one name" in str(error))
    assert alike or len(wanted) < 2
  else:
    assert task.labels == tuple(sorted(wanted))
    labels = task.splits["train"].labels
    assert [task.labels[number] for number in labels] == [
        label.strip() for text, label in table
        if label.strip() and text.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_rows_are_kept_or_counted_in_thousands_of_files(folder, format):
  run(folder, format, FILES // len(FORMATS))
