"""The paper's 17 tasks, on small files of the published layouts."""

import csv
import logging

import pytest

import tf_adapters as ta
from tf_adapters.data.encodings import MIXED
from tf_adapters.data.text_classification import TASKS

# The columns of the published CSV files, as far as they could be mistaken.
HEADERS = {
    "Airline-Sentiment-2-w-AA.csv": (
        "_unit_id", "airline_sentiment", "airline_sentiment:confidence",
        "airline", "text"),
    "Tweets.csv": ("tweet_id", "airline_sentiment", "airline", "text"),
    "Corporate-messaging-DFE.csv": (
        "_unit_id", "category", "category:confidence", "screenname", "text"),
    "socialmedia-disaster-tweets-DFE.csv": (
        "choose_one", "choose_one:confidence", "choose_one_gold", "text"),
    "Full-Economic-News-DFE-839861.csv": (
        "positivity", "relevance", "relevance:confidence", "headline", "text"),
    "text_emotion.csv": ("tweet_id", "sentiment", "author", "content"),
    "1377884570_tweet_global_warming.csv": (
        "tweet", "existence", "existence.confidence"),
    "political-social-media-DFE.csv": (
        "audience", "audience:confidence", "bias", "message", "bias_gold",
        "label", "text"),
    "political_social_media.csv": ("bias", "text"),
    "primary-plutchik-wheel-DFE.csv": (
        "emotion", "emotion_confidence", "emotion_gold", "sentence"),
    "progressive-tweet-sentiment.csv": (
        "q1_from_reading_the_tweet_which_of_the_options_best:confidence",
        "q1_from_reading_the_tweet_which_of_the_options_best",
        "q2_which_of_the_options_below:confidence",
        "q2_which_of_the_options_below", "tweet", "tweet_id"),
    "us-economic-newspaper.csv": (
        "positivity", "relevance", "articleid", "headline", "text"),
    "consumer_complaints.csv": (
        "Date received", "Issue", "Consumer complaint narrative"),
    "uci-news-aggregator.csv": ("ID", "TITLE", "URL", "CATEGORY"),
}
ROWS = 53


def write(folder, file, labels=("yes", "no")):
  """A file of ROWS rows; text i of column C is "C i", label by turns."""
  path = folder / file.name
  rows = []
  if file.width:
    for i in range(ROWS):
      row = ["x"] * file.width
      row[file.text], row[file.label] = f'text "{i}', labels[i % 2]
      rows.append("\t".join(row))
    path.write_bytes("\r\n".join(rows).encode())
    return path
  header = HEADERS[file.name]
  label = next(name for name in header
               if name == file.label or (
                   str(file.label).endswith("*") and ":" not in name
                   and name.startswith(file.label[:-1])))
  with open(path, "w", newline="", encoding=(
      "utf-8-sig" if file.encoding == MIXED else "latin-1")) as stream:
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    for i in range(ROWS):
      writer.writerow([labels[i % 2] if name == label else f"{name},\té {i}"
                       for name in header])
  return path


def all_files():
  return [(name, file) for name, task in TASKS.items() for file in task.files]


@pytest.mark.parametrize(
    "name, file", all_files(), ids=lambda value: getattr(value, "name", value))
def test_published_layouts(tmp_path, name, file):
  write(tmp_path, file)
  task = ta.load_task(name, str(tmp_path))
  assert {split: len(part) for split, part in task.splits.items()} == {
      "train": 42, "validation": 5, "test": 6}
  assert task.labels == ("no", "yes")
  assert f"{ROWS} rows; the paper has {TASKS[name].rows:,}" in task.notes
  for part in task.splits.values():
    for text, label, row in zip(part.first, part.labels, part.ids):
      assert text.split()[-1].strip('"') == row
      assert task.labels[label] == ("yes", "no")[int(row) % 2]
      if not file.width:
        assert "é" in text
        if name == "economic_news":
          assert text.startswith("headline,\té") and " text," in text
        else:
          assert text.startswith(file.text[0])


def test_newsgroups_are_folders_of_messages(tmp_path):
  for part, numbers in (("train", range(8)), ("test", range(8, 12))):
    for group in ("rec.autos", "sci.med"):
      folder = tmp_path / f"20news-bydate-{part}" / group
      folder.mkdir(parents=True)
      for i in numbers:
        (folder / str(i)).write_bytes(
            f"From: me\nSubject: x\n\n{group} says é\n\n{i}".encode("latin-1"))
  task = ta.load_task("newsgroups", str(tmp_path))
  assert task.labels == ("rec.autos", "sci.med")
  assert sum(map(len, task.splits.values())) == 24
  split = task.split("test")
  for text, label in zip(split.first, split.labels):
    assert text.startswith(f"{task.labels[label]} says é")


def test_rows_are_split_once_and_for_ever(tmp_path):
  file = TASKS["airline"].files[0]
  write(tmp_path, file)
  task = ta.load_task("airline", str(tmp_path))
  assert task.split("validation").ids == ["28", "24", "50", "29", "44"]
  rows = [row for part in task.splits.values() for row in part.ids]
  assert sorted(map(int, rows)) == list(range(ROWS))


@pytest.mark.parametrize("name", TASKS)
def test_sizes_are_the_papers(name):
  # Train, validation and test of table 2 of the supplement.
  paper = {
      "newsgroups": (15076, 1885, 1885), "airline": (11712, 1464, 1464),
      "corporate_messaging": (2494, 312, 312), "disasters": (8688, 1086, 1086),
      "economic_news": (6392, 799, 800), "emotion": (32000, 4000, 4000),
      "global_warming": (3380, 422, 423),
      "political_audience": (4000, 500, 500),
      "political_bias": (4000, 500, 500), "political_message": (4000, 500, 500),
      "primary_emotions": (2019, 252, 253),
      "progressive_opinion": (927, 116, 116),
      "progressive_stance": (927, 116, 116),
      "us_economic_performance": (3961, 495, 496),
      "customer_complaints": (146667, 18333, 18334),
      "news_aggregator": (338349, 42294, 42294), "sms_spam": (4459, 557, 558),
  }[name]
  rows = TASKS[name].rows
  train = rows * 8 // 10
  assert (train, (rows - train) // 2, rows - train - (rows - train) // 2) == (
      paper)


def test_undecided_rows_are_left_out_and_counted(tmp_path):
  path = write(tmp_path, TASKS["disasters"].files[0])
  content = path.read_text().replace('"yes"', '"Can\'t Decide"', 3)
  path.write_text(content.replace('"no"', '""', 1))
  task = ta.load_task("disasters", str(tmp_path))
  assert sum(map(len, task.splits.values())) == ROWS - 4
  assert ("4 rows left out: 4 without a text or a decided label (first: "
          "socialmedia-disaster-tweets-DFE.csv:2)") in task.notes
  assert task.labels == ("no", "yes")


def test_global_warming_has_two_names_for_each_answer(tmp_path):
  path = write(tmp_path, TASKS["global_warming"].files[0], ("Y", "No"))
  path.write_text(path.read_text().replace('"Y"', '"Yes"', 5).replace(
      '"No"', '"N"', 5).replace('"Y"', '"NA"', 2))
  task = ta.load_task("global_warming", str(tmp_path))
  assert task.labels == ("No", "Yes")
  assert sum(map(len, task.splits.values())) == ROWS - 2


def test_repeated_texts_stay_together_and_are_counted(tmp_path):
  path = write(tmp_path, TASKS["airline"].files[0])
  lines = path.read_bytes().split(b"\r\n")
  path.write_bytes(b"\r\n".join([*lines[:-1], *lines[1:21], b""]))
  task = ta.load_task("airline", str(tmp_path))
  note = next(note for note in task.notes if "repeat" in note)
  assert note.startswith("20 rows repeat an earlier text; ")
  parts = [set(part.first) for part in task.splits.values()]
  shared = sum(len(a & b) for i, a in enumerate(parts) for b in parts[:i])
  assert shared <= 2
  assert note.endswith(f"{shared} texts stand in two splits")


def test_malformed_rows_are_counted(tmp_path):
  path = write(tmp_path, TASKS["sms_spam"].files[0])
  path.write_bytes(path.read_bytes() + b"\r\nspam\ta\tb\r\nham")
  with pytest.raises(ta.InputError, match=f":{ROWS + 1}: 3 columns, expected"):
    ta.load_task("sms_spam", str(tmp_path))
  task = ta.load_task("sms_spam", str(tmp_path), on_bad_row="skip")
  assert ("2 rows left out: 2 of another number of columns (first: "
          f"SMSSpamCollection:{ROWS + 1})") in task.notes


def test_labels_that_differ_in_case_are_said(tmp_path):
  path = write(tmp_path, TASKS["airline"].files[0])
  path.write_text(path.read_text("latin-1").replace('"yes"', '"Yes"', 1),
                  "latin-1")
  task = ta.load_task("airline", str(tmp_path))
  assert task.labels == ("Yes", "no", "yes")
  assert "labels 'Yes' and 'yes' differ in case only" in task.notes


def test_a_file_is_found_in_a_folder_of_the_folder(tmp_path):
  (tmp_path / "crowdflower_airline").mkdir()
  write(tmp_path / "crowdflower_airline", TASKS["airline"].files[1])
  assert ta.load_task("airline", str(tmp_path)).origin.endswith("Tweets.csv")


def test_files_that_were_converted_to_utf_8(tmp_path):
  path = write(tmp_path, TASKS["airline"].files[0])
  path.write_text(path.read_text("latin-1"), "utf-8-sig")
  task = ta.load_task("airline", str(tmp_path))
  assert all("é" in text and "Ã" not in text
             for part in task.splits.values() for text in part.first)


def test_stray_bytes_of_latin_1(tmp_path):
  path = write(tmp_path, TASKS["disasters"].files[0])
  path.write_bytes(path.read_bytes().replace("é 7\"".encode(), b"\xe9 7\""))
  task = ta.load_task("disasters", str(tmp_path))
  for part in task.splits.values():
    assert all("é" in text for text in part.first)


@pytest.mark.parametrize("change, message", [
    (lambda text: text.replace("airline_sentiment", "mood"),
     "no column 'airline_sentiment'; its columns are _unit_id, mood"),
    (lambda text: text.replace('"yes"', '"no"'), "53 rows with 1 labels"),
    (lambda text: text.splitlines()[0] + "\n", "0 rows with 0 labels"),
    (lambda text: "", "is empty"),
])
def test_what_is_no_such_task(tmp_path, change, message):
  path = write(tmp_path, TASKS["airline"].files[0])
  path.write_text(change(path.read_text("latin-1")), "latin-1")
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.load_task("airline", str(tmp_path))
  assert str(path) in str(caught.value)


def test_missing_files_are_named(tmp_path):
  with pytest.raises(ta.InputError, match="airline: needs data_dir.*Tweets"):
    ta.load_task("airline")
  with pytest.raises(ta.InputError, match="expected SMSSpamCollection"):
    ta.load_task("sms_spam", str(tmp_path))
  with pytest.raises(ta.InputError, match="no such folder"):
    ta.load_task("newsgroups", str(tmp_path / "x"))


@pytest.mark.parametrize("name, classes, notes", [
    ("airline", 3, ["213 rows repeat an earlier text; 0 texts stand in two "
                    "splits"]),
    ("disasters", 2, ["16 rows left out: 16 without a text or a decided label "
                      "(first: socialmedia-disaster-tweets-DFE.csv:308)",
                      "196 rows repeat an earlier text; 0 texts stand in two "
                      "splits"]),
    ("political_bias", 2, []),
    ("primary_emotions", 18, ["34 rows repeat an earlier text; 0 texts stand "
                              "in two splits"]),
])
def test_the_real_files(real_data, name, classes, notes, caplog):
  with caplog.at_level(logging.WARNING):
    task = ta.load_task(name, str(real_data / "text_classification"))
  assert sum(map(len, task.splits.values())) == TASKS[name].rows
  assert len(task.labels) == classes
  assert list(task.notes) == notes
