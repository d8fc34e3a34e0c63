"""The paper's 17 text classification tasks beside GLUE (table 2).

Files are read as they were published; splits are as large as the paper's, in an
order of our own that never changes, since the paper's was not published.
"""

import collections
import dataclasses
import pathlib

from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.dataset import Dataset
from tf_adapters.data.encodings import EITHER, LATIN_1, MIXED, read_lines
from tf_adapters.data.folders import data_folder
from tf_adapters.data.labels import alike
from tf_adapters.data.splits import in_fixed_order, splits_of_rows
from tf_adapters.data.tables import Table, read_csv, read_tsv
from tf_adapters.errors import InputError


@dataclasses.dataclass(frozen=True)
class PublishedFile:
  """A file as it was published.

  Attributes:
    name: of the file.
    text: the text's columns, joined by a blank; or a column's place.
    label: the label's column, with a "*" for the rest of a name that is a whole
      question; or a column's place.
    encoding: see `encodings.read_lines`.
    width: number of columns, where tabs separate them, without quoting and
      without names, instead of commas.
  """

  name: str
  text: tuple[str, ...] | int
  label: str | int
  encoding: str = EITHER
  width: int | None = None


@dataclasses.dataclass(frozen=True)
class TextClassificationTask:
  """One of the paper's tasks.

  Attributes:
    rows: that the paper has, over all splits.
    files: what it was published as, one of them suffices.
    dropped: labels whose rows are left out, in lower case.
    renamed: label in the file -> its other name there.
  """

  rows: int
  files: tuple[PublishedFile, ...]
  dropped: tuple[str, ...] = ()
  renamed: tuple[tuple[str, str], ...] = ()


def _political(label: str) -> PublishedFile:
  return PublishedFile("political-social-media-DFE.csv", ("text",), label)


def _progressive(label: str) -> PublishedFile:
  return PublishedFile("progressive-tweet-sentiment.csv", ("tweet",), label)


_NEWSGROUPS = ("20news-bydate-train", "20news-bydate-test")

TASKS = {
    "airline": TextClassificationTask(14640, (
        PublishedFile("Airline-Sentiment-2-w-AA.csv", ("text",),
                      "airline_sentiment"),
        PublishedFile("Tweets.csv", ("text",), "airline_sentiment", MIXED))),
    "corporate_messaging": TextClassificationTask(3118, (
        PublishedFile("Corporate-messaging-DFE.csv", ("text",), "category"),)),
    "disasters": TextClassificationTask(10860, (
        PublishedFile("socialmedia-disaster-tweets-DFE.csv", ("text",),
                      "choose_one", MIXED),), dropped=("can't decide",)),
    "economic_news": TextClassificationTask(7991, (
        PublishedFile("Full-Economic-News-DFE-839861.csv",
                      ("headline", "text"), "relevance"),),
        dropped=("not sure",)),
    "emotion": TextClassificationTask(40000, (
        PublishedFile("text_emotion.csv", ("content",), "sentiment", MIXED),)),
    "global_warming": TextClassificationTask(4225, (
        PublishedFile("1377884570_tweet_global_warming.csv", ("tweet",),
                      "existence", MIXED),), dropped=("na", "n/a"),
        renamed=(("Y", "Yes"), ("N", "No"))),
    "political_audience": TextClassificationTask(
        5000, (_political("audience"),)),
    "political_bias": TextClassificationTask(5000, (
        _political("bias"),
        PublishedFile("political_social_media.csv", ("text",), "bias",
                      MIXED))),
    "political_message": TextClassificationTask(
        5000, (_political("message"),)),
    "primary_emotions": TextClassificationTask(2524, (
        PublishedFile("primary-plutchik-wheel-DFE.csv", ("sentence",),
                      "emotion"),)),
    "progressive_opinion": TextClassificationTask(
        1159, (_progressive("q2_which_of_the_options*"),)),
    "progressive_stance": TextClassificationTask(
        1159, (_progressive("q1_from_reading_the_tweet*"),)),
    "us_economic_performance": TextClassificationTask(4952, (
        PublishedFile("us-economic-newspaper.csv", ("text",), "relevance"),),
        dropped=("not sure",)),
    "customer_complaints": TextClassificationTask(183334, (
        PublishedFile("consumer_complaints.csv",
                      ("Consumer complaint narrative",), "Issue", MIXED),)),
    "news_aggregator": TextClassificationTask(422937, (
        PublishedFile("newsCorpora.csv", 1, 4, MIXED, width=8),
        PublishedFile("uci-news-aggregator.csv", ("TITLE",), "CATEGORY",
                      MIXED))),
    "newsgroups": TextClassificationTask(18846, ()),
    "sms_spam": TextClassificationTask(5574, (
        PublishedFile("SMSSpamCollection", 1, 0, MIXED, width=2),)),
}


def load(name: str, data_dir: str | None,
         on_bad_row: str = "error") -> Dataset:
  """Loads one of the paper's tasks.

  80 % of the rows are the training split, the rest is halved, as in the paper.
  The order is that of a sha256 of the texts, so a text that stands in the file
  more than once is in one split (but where a split happens to end there, which
  is counted in the task's notes).

  Args:
    name: one of `TASKS`.
    data_dir: the folder of the published file, or one that holds that folder.
    on_bad_row: see `BadRows`. Rows without a text or a decided label are left
      out in any case, as the paper has it.

  Raises:
    InputError: there is no such file, it cannot be read, it lacks a column, or
      there is a bad row.
  """
  task = TASKS[name]
  if data_dir is None:
    raise InputError(f"task {name}: needs data_dir, the folder of "
                     f"{' or '.join(_file_names(name))}")
  path = _find(name, data_folder(data_dir))
  bad_rows = BadRows(path, on_bad_row)
  files = [path]
  if name == "newsgroups":
    files.append(path.with_name(_NEWSGROUPS[1]))
    texts, labels, places = _read_newsgroups(path)
  else:
    file = next(file for file in task.files if file.name == path.name)
    table = _read(path, file, bad_rows)
    texts, labels = _texts(table, file), _labels(table, file, task)
    places = list(map(str, table.lines))
  rows = []
  for row, (text, label, place) in enumerate(zip(texts, labels, places)):
    if text.strip() and label and label.casefold() not in task.dropped:
      rows.append(row)
    else:
      bad_rows.leave_out(place, "without a text or a decided label")
  names = tuple(sorted({labels[row] for row in rows}))
  notes = [bad_rows.note()]
  if pair := alike(names):
    notes.append(f"labels {pair[0]!r} and {pair[1]!r} differ in {pair[2]} only")
  if len(rows) != task.rows:
    notes.append(f"{len(rows):,} rows; the paper has {task.rows:,}")
  if len(names) < 2 or len(rows) < 10:
    raise InputError("; ".join(filter(None, [
        f"{path}: {len(rows)} rows with {len(names)} labels are no task",
        bad_rows.note()])))
  rows = in_fixed_order(texts, rows)
  train = len(rows) * 8 // 10
  validation = (len(rows) - train) // 2
  parts = {"train": rows[:train],
           "validation": rows[train:train + validation],
           "test": rows[train + validation:]}
  numbers = {label: number for number, label in enumerate(names)}
  return Dataset(
      name, "classification", names, ("accuracy", "macro_f1"),
      splits_of_rows(
          texts, {row: numbers[labels[row]] for row in rows}, parts),
      str(path), notes=(*notes, *_repeated(texts, parts)),
      files=dict.fromkeys(parts, files))


def _file_names(name: str) -> tuple[str, ...]:
  return tuple(file.name for file in TASKS[name].files) or _NEWSGROUPS[:1]


def _find(name: str, folder: pathlib.Path) -> pathlib.Path:
  """Finds the published file in a folder, or in one of the folders in it."""
  for file_name in _file_names(name):
    for path in (folder / file_name, *sorted(folder.glob(f"*/{file_name}"))):
      if path.exists():
        return path
  raise InputError(
      f"{folder}: no file of task {name}: expected "
      f"{' or '.join(_file_names(name))} there or in a folder in it")


def _read(path: pathlib.Path, file: PublishedFile, bad_rows: BadRows) -> Table:
  if file.width is None:
    return read_csv(path, bad_rows, file.encoding)
  return read_tsv(path, bad_rows, file.width, file.encoding)


def _texts(table: Table, file: PublishedFile) -> list[str]:
  if isinstance(file.text, int):
    return table.column(file.text)
  columns = [table.column(_header_name(table, column)) for column in file.text]
  return [" ".join(cells) for cells in zip(*columns)]


def _labels(table: Table, file: PublishedFile,
            task: TextClassificationTask) -> list[str]:
  if isinstance(file.label, int):
    cells = table.column(file.label)
  else:
    cells = table.column(_header_name(table, file.label))
  renamed = dict(task.renamed)
  return [renamed.get(cell.strip(), cell.strip()) for cell in cells]


def _header_name(table: Table, wanted: str) -> str:
  """Returns the header's name for a column.

  Some exports write blanks as underscores. Of the columns on one question the
  answer's has the shortest name.
  """

  def folded(name: str) -> str:
    return name.casefold().replace("_", " ")

  if wanted.endswith("*"):
    names = [name for name in table.header
             if folded(name).startswith(folded(wanted[:-1]))
             and not name.endswith((":confidence", "_gold"))]
  else:
    names = [name for name in table.header if folded(name) == folded(wanted)]
  # Where there is none, the table says which columns there are.
  return min(names, key=len, default=wanted)


def _read_newsgroups(
    train: pathlib.Path) -> tuple[list[str], list[str], list[str]]:
  """Reads the bodies of 20 newsgroups' messages, the groups, and their places.
  """
  texts, labels, places = [], [], []
  for folder in (train, train.with_name(_NEWSGROUPS[1])):
    if not folder.is_dir():
      raise InputError(f"{folder}: no such folder; task newsgroups is both")
    for path in sorted(folder.glob("*/*")):
      _, _, body = "".join(read_lines(path, LATIN_1)).replace(
          "\r\n", "\n").partition("\n\n")
      texts.append(body)
      labels.append(path.parent.name)
      places.append(f"{path.parent.name}/{path.name}")
  return texts, labels, places


def _repeated(texts: list[str], parts: dict[str, list[int]]) -> list[str]:
  counts = collections.Counter(
      texts[row] for part in parts.values() for row in part)
  more = sum(count - 1 for count in counts.values())
  if not more:
    return []
  splits = collections.Counter(
      text for part in parts.values() for text in {texts[row] for row in part})
  shared = sum(count > 1 for count in splits.values())
  return [f"{more:,} rows repeat an earlier text; {shared} texts stand in two "
          "splits"]
