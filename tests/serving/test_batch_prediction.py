import csv
import dataclasses
import fcntl
import io
import json
import os
import pathlib
import random
import tracemalloc

import pytest

import tf_adapters as ta
from tests.adapters import TASKS, make
from tf_adapters.problems.prediction import Prediction
from tf_adapters.serving.batch_prediction import predict_file
from tf_adapters.serving.prediction_config import PredictionConfig

# (task, text, second text) of every task; pairs is None for some.
ROWS = [(task, text, second) for text, second in [
    ("the film is good", "so he said"), ("!", "bad"), ("very " * 2000, "plot"),
    ('"bad', 'he said "so"'), ("ünable 😀", "")]
    for task in TASKS for second in (
        [second or "?"] if TASKS[task][-1] else [""] if TASKS[task][-1] is False
        else ["", second])]


@pytest.fixture
def config(tmp_path):
  """Of `ROWS` in random order, in chunks of 16."""
  shuffled = random.Random(0).sample(ROWS, len(ROWS))
  write(tmp_path / "in.tsv", shuffled)
  return PredictionConfig(
      str(tmp_path / "in.tsv"), str(tmp_path / "out.tsv"),
      text_pair_column="to", task_column="task", predict_batch_size=2)


def write(path, rows):
  """Writes (task, text, second text) in the format of the ending."""
  if path.suffix == ".jsonl":
    lines = [json.dumps(dict(zip(("task", "text", "to"), row))) for row in rows]
  elif path.suffix == ".csv":
    content = io.StringIO()
    csv.writer(content).writerows([("task", "text", "to"), *rows])
    lines = [content.getvalue()]
  else:
    lines = map("\t".join, [("task", "text", "to"), *rows])
  path.write_text("\n".join(lines) + "\n", newline="")


def records(path):
  """The dicts of an output file, cells as strings."""
  if path.suffix == ".jsonl":
    return [json.loads(line) for line in path.read_text().splitlines()]
  if path.suffix == ".csv":
    return list(csv.DictReader(path.open(newline="")))
  header, *lines = [
      line.split("\t") for line in path.read_text().removesuffix("\n").split(
          "\n")]
  return [dict(zip(header, line)) for line in lines]


def predictions(bank, rows, batch_size=64):
  """Returns the predictions that the records must hold, and their scores."""
  texts = [(text, second) if second or TASKS[task][-1] else text
           for task, text, second in rows]
  tasks = [row[0] for row in rows]
  found = []
  for task, label, scores in zip(
      tasks, bank.predict(texts, tasks, batch_size),
      bank.predict_proba(texts, tasks, batch_size)):
    match TASKS[task][1]:
      case "tagging":
        found.append((" ".join(tag for _, tag in label),
                      [dict(tags) for _, tags in scores]))
      case "multi_label":
        found.append((",".join(label), scores))
      case "regression":
        found.append((pytest.approx(label, rel=1e-5), None))
      case _:
        found.append((label, scores))
  return found


def same(found, expected):
  if isinstance(expected, list):
    return len(found) == len(expected) and all(map(same, found, expected))
  if isinstance(expected, dict):
    return list(found) == list(expected) and (
        found == pytest.approx(expected, abs=2e-6))
  return found == expected


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl"])
def test_formats_say_the_same_and_what_the_bank_says(bank, tmp_path, ending):
  first = 1 if ending == "jsonl" else 2
  write(tmp_path / f"in.{ending}", ROWS)
  outputs = []
  for written in ("tsv", "csv", "jsonl"):
    config = PredictionConfig(
        str(tmp_path / f"in.{ending}"), str(tmp_path / f"out.{written}"),
        text_pair_column="to", task_column="task")
    predict_file(bank, config)
    outputs.append(records(tmp_path / f"out.{written}"))
  expected = predictions(bank, ROWS)
  tsv, quoted, objects = outputs
  assert len(objects) == len(ROWS)
  assert tsv == quoted
  for i, (cells, record, (label, scores)) in enumerate(
      zip(tsv, objects, expected)):
    task = ROWS[i][0]
    words = ["words"] * (TASKS[task][1] == "tagging")
    assert list(record) == ["line", "task", "prediction", "scores", *words]
    if words:
      assert record["words"] == ROWS[i][1].split()
    assert record["line"] == first + i
    assert record["task"] == task
    assert record["prediction"] == label
    assert same(record["scores"], scores)
    assert list(cells) == ["line", "task", "prediction", "score"]
    for name in ("line", "task", "prediction"):
      assert cells[name] == str(record[name])
    assert cells["score"] == (
        str(record["scores"][record["prediction"]])
        if TASKS[task][1] == "classification" else "")
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      f"in.{ending}", "out.csv", "out.jsonl", "out.tsv"]


def test_answers_have_their_candidates_beside_them(hf_source, tmp_path):
  adapter = make(
      hf_source, tmp_path / "squad", ta.AdapterConfig(size=8), "span", "",
      "mean", "adapters", 20, True, span={
          "doc_stride": 4, "max_query_length": 6, "n_best_size": 3})
  bank = ta.AdapterBank(str(hf_source), [adapter])
  pairs = [("is so?", "The film is good. He said so!"), ("he?", "")]
  for ending in ("jsonl", "tsv"):
    write(tmp_path / f"in.{ending}", [("squad", *pair) for pair in pairs])
    predict_file(bank, PredictionConfig(
        str(tmp_path / f"in.{ending}"), str(tmp_path / f"out.{ending}"),
        text_pair_column="to"))
  rich, flat = (records(tmp_path / f"out.{ending}")
                for ending in ("jsonl", "tsv"))
  answers = bank.predict(pairs, "squad")
  assert answers[0] in pairs[0][1] and not answers[1]
  assert [record["prediction"] for record in rich] == answers
  assert [record["prediction"] for record in flat] == answers
  assert rich[1]["scores"] == {} and flat[1]["score"] == ""
  assert float(flat[0]["score"]) == rich[0]["scores"][answers[0]]


def test_one_task_needs_no_column(hf_source, task_files, tmp_path):
  bank = ta.AdapterBank(str(hf_source), {"x": task_files["topic"]})
  path = tmp_path / "in.csv"
  path.write_bytes(
      b'\xef\xbb\xbfid,Text\r\n1,"good\r\nfilm"\r\n2,so\r\n3,"a ""b"""\r\n')
  config = PredictionConfig(str(path), str(tmp_path / "out.jsonl"))
  predict_file(bank, config)
  found = records(tmp_path / "out.jsonl")
  assert [record["line"] for record in found] == [2, 4, 5]
  texts = ["good\r\nfilm", "so", 'a "b"']
  assert [record["prediction"] for record in found] == bank.predict(texts, "x")
  for record, scores in zip(found, bank.predict_proba(texts, "x")):
    assert record["scores"] == pytest.approx(scores, abs=2e-6)


@pytest.mark.parametrize("encoding, ending", [
    ("windows-1252", "csv"), ("latin-1", "jsonl"), ("utf-16", "tsv")])
def test_inputs_in_other_encodings(bank, tmp_path, encoding, ending):
  rows = [("topic", "ünable film", ""), ("topic", "good ß", "")]
  path = tmp_path / f"in.{ending}"
  write(path, rows)
  content = path.read_text()
  if ending == "jsonl":
    content = content.encode().decode("unicode_escape")
  path.write_bytes(content.encode(encoding))
  config = PredictionConfig(
      str(path), str(tmp_path / "out.jsonl"), task_column="task")
  with pytest.raises(ta.InputError, match=f"encoding={encoding}|{encoding}"):
    predict_file(bank, config)
  predict_file(bank, dataclasses.replace(config, encoding=encoding))
  assert [record["prediction"] for record in records(
      tmp_path / "out.jsonl")] == bank.predict(
          [text for _, text, _ in rows], ["topic"] * 2)
  with pytest.raises(ta.InputError, match="encoding must be the name of one"):
    dataclasses.replace(config, encoding="latin-99")


def predicted(bank, config):
  """The output of a run that nothing stops; leaves none."""
  predict_file(bank, config)
  output = pathlib.Path(config.output)
  content = output.read_bytes()
  output.unlink()
  return content


def stopped(monkeypatch, bank, config, chunks):
  """Stops a run behind some chunks: the partial output and what is beside."""
  predict, calls = bank.stream_predictions, []

  def interrupted(*arguments):
    calls.append(arguments)
    if len(calls) > chunks:
      raise KeyboardInterrupt
    return predict(*arguments)

  with monkeypatch.context() as patched:
    patched.setattr(bank, "stream_predictions", interrupted)
    with pytest.raises(KeyboardInterrupt):
      predict_file(bank, config)
  return (pathlib.Path(f"{config.output}.partial"),
          pathlib.Path(f"{config.output}.partial.json"))


@pytest.mark.parametrize("ending", [
    "tsv", pytest.param("csv", marks=pytest.mark.slow), "jsonl"])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    bank, config, tmp_path, monkeypatch, capsys, ending):
  with open(config.input, "a") as file:
    file.write("topic\tone cell too few\ntopic\tgood\t\n")
  config = dataclasses.replace(
      config, output=str(tmp_path / f"out.{ending}"), on_bad_row="skip")
  whole = predicted(bank, config)
  assert whole.count(b"\n") == len(ROWS) + 1 + (ending != "jsonl")
  rng = random.Random(1)
  most = -(-(len(ROWS) + 1) // 16)
  for chunks in range(most):
    partial, about = stopped(monkeypatch, bank, config, chunks)
    content, description = partial.read_bytes(), about.read_bytes()
    assert whole.startswith(content)
    # What a machine that went down may leave: less, or more than is known of.
    for cut in [len(content), rng.randrange(len(content) + 1),
                rng.randrange(len(content), len(whole) + 1)]:
      partial.write_bytes(whole[:cut])
      about.write_bytes(description)
      capsys.readouterr()
      assert predicted(bank, config) == whole, cut
      assert not partial.exists() and not about.exists()
      done = max(0, whole[:min(cut, len(content))].count(b"\n")
                 - (ending != "jsonl"))
      err = capsys.readouterr().err
      assert f"\n{len(ROWS) + 1 - done} rows, " in f"\n{err}"
      assert "1 row left out: 1 of another number of columns" in err
      assert ("goes on behind line" in err) == (done > 0)


def test_what_is_written_before_a_stop_is_kept(
    bank, config, monkeypatch, capsys):
  whole = predicted(bank, config)
  partial, _ = stopped(monkeypatch, bank, config, 2)
  assert partial.read_bytes().count(b"\n") == 1 + 32
  assert whole.startswith(partial.read_bytes())
  capsys.readouterr()
  assert predicted(bank, config) == whole
  assert f"\n{len(ROWS) - 32} rows, " in capsys.readouterr().err


def test_another_run_is_not_gone_on_with(
    hf_source, task_files, bank, config, tmp_path, monkeypatch):
  whole = predicted(bank, config)
  partial, _ = stopped(monkeypatch, bank, config, 1)
  content = partial.read_bytes()

  def refused(what, bank=bank, **changes):
    with pytest.raises(ta.InputError) as caught:
      predict_file(bank, dataclasses.replace(config, **changes))
    assert str(caught.value) == (
        f"{partial}: is of a run with another {what}: delete it, or choose "
        "another output")
    assert partial.read_bytes() == content

  write(tmp_path / "other.tsv", ROWS)
  refused("input", input=str(tmp_path / "other.tsv"))
  refused("columns", text_column="to", text_pair_column="text",
          on_bad_row="skip")
  refused("predict_batch_size", predict_batch_size=4)
  refused("adapters", ta.AdapterBank(
      str(hf_source), {**task_files, "topic": task_files["after"]},
      max_length=20))
  refused("dtype", ta.AdapterBank(
      str(hf_source), task_files, max_length=20, dtype="bfloat16"))
  given = pathlib.Path(config.input).read_bytes()
  pathlib.Path(config.input).write_bytes(given.replace(b"film", b"plot", 1))
  refused("content of the input")
  pathlib.Path(config.input).write_bytes(given)
  # Whether bad rows are skipped changes no record, nor when it was written.
  os.utime(config.input, (0, 0))
  assert predicted(
      bank, dataclasses.replace(config, on_bad_row="skip")) == whole
  # Without a record there is nothing to lose.
  stopped(monkeypatch, bank, config, 0)
  assert predicted(
      bank, dataclasses.replace(config, predict_batch_size=4))


@pytest.mark.parametrize("ending", ["tsv", "jsonl"])
def test_what_follows_in_the_input_may_be_mended(
    bank, config, tmp_path, capsys, ending):
  config = dataclasses.replace(config, output=str(tmp_path / f"out.{ending}"))
  path = pathlib.Path(config.input)
  good = path.read_text()
  whole = predicted(bank, config)
  lines = good.splitlines(keepends=True)
  path.write_text("".join([*lines[:40], "nothing\ta\tb\n", *lines[41:]]))
  with pytest.raises(ta.InputError, match=":41: no task 'nothing'"):
    predict_file(bank, config)
  path.write_text(good)
  capsys.readouterr()
  assert predicted(bank, config) == whole
  assert "goes on behind line 33 " in capsys.readouterr().err


@pytest.mark.parametrize("content", [
    b"mine", b"mine\n", b"line\ttask\tprediction\tscore\nmine\n",
    b"line\ttask\tprediction\tscore\n1 mine", b"\0" * 9])
def test_the_files_of_others_are_left_alone(
    bank, config, monkeypatch, content):
  partial = pathlib.Path(f"{config.output}.partial")
  about = pathlib.Path(f"{config.output}.partial.json")

  def refused(message):
    before = [path.read_bytes() if path.exists() else None
              for path in (partial, about)]
    with pytest.raises(ta.InputError, match=message):
      predict_file(bank, config)
    assert before == [path.read_bytes() if path.exists() else None
                      for path in (partial, about)]

  partial.write_bytes(content)
  refused("does not say that a run wrote it: move both away")
  about.write_text("{")
  refused(r"partial\.json: not readable")
  about.write_text('{"input": "mine"}')
  refused("does not say that a run wrote it: move both away")
  partial.write_bytes(b"")
  refused("does not say that a run wrote it: move both away")
  partial.unlink()
  about.unlink()
  stopped(monkeypatch, bank, config, 1)
  if content.startswith(b"line") and not content.endswith(b"\n"):
    return  # a torn record for all that is known
  partial.write_bytes(content)
  refused("holds something else than predictions: move it away")


def test_each_file_is_blamed_for_its_own(bank, config, monkeypatch, tmp_path):
  with pytest.raises(ta.InputError, match=f"^{tmp_path}: cannot be read: Is "):
    predict_file(bank, dataclasses.replace(
        config, input=str(tmp_path), format="tsv"))
  # It can be opened, but not read.
  with pytest.raises(
      ta.InputError, match=r"^/proc/self/mem: cannot be read: Input/output"):
    predict_file(bank, dataclasses.replace(
        config, input="/proc/self/mem", format="tsv"))
  assert not list(tmp_path.glob("out*"))

  def fail(*arguments):
    raise OSError(5, "of neither")

  with monkeypatch.context() as patched:
    patched.setattr(bank, "stream_predictions", fail)
    with pytest.raises(OSError, match="of neither"):
      predict_file(bank, config)
  with monkeypatch.context() as patched:
    patched.setattr(os, "fsync", fail)
    with pytest.raises(
        ta.InputError, match="^.*out.tsv: cannot be written: of neither"):
      predict_file(bank, config)


def test_an_output_is_written_once_and_by_one(bank, config, tmp_path):
  with open(tmp_path / "out.tsv.partial", "wb") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(ta.InputError, match="partial: another run is writing"):
      predict_file(bank, config)
  predict_file(bank, config)
  with pytest.raises(ta.InputError, match=r"out\.tsv: is there already"):
    predict_file(bank, config)
  with pytest.raises(ta.InputError, match="cannot be written: No such file"):
    predict_file(bank, dataclasses.replace(
        config, output=str(tmp_path / "none" / "out.tsv")))


@pytest.mark.parametrize("row, message", [
    ({"task": "nothing"}, "no task 'nothing'; there is topic, same"),
    ({"task": "base"}, "no task 'base'"),
    ({"task": ""}, "no task in 'task'"),
    ({"task": None}, "no task in 'task'"),
    ({"task": "topic", "only": 1}, "no 'text'; text_column names the column"),
    ({"text": 5}, "expected a string in 'text'"),
    ({"to": "bad"}, "task topic is on single texts; there are two"),
    ({"task": "same"}, "task same is on pairs of texts; there is one only"),
    ([], "expected a JSON object"),
])
def test_bad_rows_stop_or_are_skipped(bank, tmp_path, capsys, row, message):
  fine = {"task": "topic", "text": "good"}
  if isinstance(row, dict) and "only" not in row:
    row = {**fine, **row}
  path = tmp_path / "in.jsonl"
  path.write_text("\n".join(map(json.dumps, [fine, row, fine])))
  config = PredictionConfig(
      str(path), str(tmp_path / "out.csv"), text_pair_column="to",
      task_column="task")
  with pytest.raises(ta.InputError) as caught:
    predict_file(bank, config)
  assert str(caught.value).startswith(f"{path}:2: {message}")
  assert not (tmp_path / "out.csv").exists()
  predict_file(bank, dataclasses.replace(config, on_bad_row="skip"))
  assert [record["line"] for record in records(tmp_path / "out.csv")] == [
      "1", "3"]
  note, summary = capsys.readouterr().err.splitlines()
  assert note.startswith("1 row left out: 1 ")
  assert note.endswith(" (first: in.jsonl:2)")
  assert summary.startswith("2 rows, ")


def test_rows_without_a_text_have_an_empty_prediction(bank, tmp_path, capsys):
  path = tmp_path / "in.jsonl"
  rows = [{"task": "topic", "text": "good"}, {"task": "topic", "text": None},
          {"task": "same", "text": "good", "to": " "},
          {"task": "words", "text": " \u3000\n"}]
  path.write_text("\n".join(map(json.dumps, rows)))
  for name in ("out.jsonl", "out.csv"):
    predict_file(bank, PredictionConfig(
        str(path), str(tmp_path / name), text_pair_column="to",
        task_column="task"))
    note, summary = capsys.readouterr().err.splitlines()
    assert note == (
        "3 rows have no text, and so no prediction (first: in.jsonl:2)")
    assert summary.startswith("4 rows, ")
  first, *others = records(tmp_path / "out.jsonl")
  assert [first["prediction"]] == bank.predict(["good"], "topic")
  assert others == [
      {"line": 2, "task": "topic", "prediction": None, "scores": None},
      {"line": 3, "task": "same", "prediction": None, "scores": None},
      {"line": 4, "task": "words", "prediction": None, "scores": None,
       "words": None}]
  assert [(one["line"], one["prediction"], one["score"]) for one in records(
      tmp_path / "out.csv")[1:]] == [(n, "", "") for n in ("2", "3", "4")]


def test_a_text_on_each_line(hf_source, task_files, tmp_path, capsys):
  bank = ta.AdapterBank(str(hf_source), {"topic": task_files["topic"]})
  texts = ['"quoted", and\ttabs', "", "the film is good"]
  (tmp_path / "in.log").write_bytes("\r\n".join(texts).encode())
  config = PredictionConfig(
      str(tmp_path / "in.log"), str(tmp_path / "out.csv"), format="txt",
      keep_columns=True)
  predict_file(bank, config)
  assert "(first: in.log:2)" in capsys.readouterr().err
  found = records(tmp_path / "out.csv")
  assert [one["line"] for one in found] == ["1", "2", "3"]
  assert [one["text"] for one in found] == texts
  assert [one["prediction"] for one in found] == [
      *bank.predict(texts[:1]), "", *bank.predict(texts[2:])]
  assert dataclasses.replace(config, output="-").formats() == ("txt", "tsv")
  for name in ("text_pair_column", "task_column"):
    with pytest.raises(ta.InputError, match=f"{name}: format txt is a text on"):
      dataclasses.replace(config, **{name: "x"})


def test_json_lines_that_lack_the_second_text(
    hf_source, task_files, tmp_path, capsys):
  """Where the adapter file does not know, the column's name may be wrong."""
  bank = ta.AdapterBank(
      str(hf_source), {name: task_files[name] for name in ("head", "topic")})
  path = tmp_path / "in.jsonl"
  rows = [{"task": "head", "text": "good", "to": "bad"},
          {"task": "head", "text": "good", "to": None},
          {"task": "topic", "text": "good"}]
  path.write_text("\n".join(map(json.dumps, rows)))
  config = PredictionConfig(
      str(path), str(tmp_path / "out.tsv"), text_pair_column="to",
      task_column="task")
  predict_file(bank, config)
  assert len(records(tmp_path / "out.tsv")) == 3
  with pytest.raises(ta.InputError, match="in.jsonl:1: no 'two': a row that is "
                     "no pair has null there"):
    predict_file(bank, dataclasses.replace(
        config, output=str(tmp_path / "other.tsv"), text_pair_column="two"))


def test_an_input_without_rows_is_an_output_without_rows(bank, tmp_path):
  for name, content in (("in.tsv", "task\ttext\n"), ("in.jsonl", "")):
    (tmp_path / name).write_text(content)
    for ending, header in (
        ("csv", "line,task,prediction,score\n"), ("jsonl", "")):
      output = tmp_path / f"{name}.{ending}"
      predict_file(bank, PredictionConfig(
          str(tmp_path / name), str(output), task_column="task"))
      assert output.read_text() == header


def test_mistakes_are_named(bank, config, tmp_path):
  def refused(message, **changes):
    with pytest.raises(ta.InputError, match=message):
      predict_file(bank, dataclasses.replace(config, **changes))
    assert not list(tmp_path.glob("out*"))

  refused("nowhere.tsv: cannot be read: No such", input="nowhere.tsv")
  refused(r"in\.tsv: no column 'x'; its columns are task, text, to",
          task_column="x")
  refused(f"there are {len(TASKS)} tasks .topic, same.*task_column",
          task_column=None)
  refused(r"x\.txt: its name has to end", input="x.txt")
  refused(r"x\.txt: its name has to end", output="x.txt")
  refused("on_bad_row must be one of error, skip", on_bad_row="ask")
  refused("format must be given for standard input", input="-")
  (tmp_path / "in.csv").write_text("")
  refused("is empty", input=str(tmp_path / "in.csv"))


class ManyRows:
  """Stands for a bank that takes no memory."""

  dtype = "float32"

  def __init__(self, info):
    self._info = info

  def names(self):
    return ["topic"]

  def info(self, name):
    return self._info

  def stream_predictions(self, texts, tasks, batch_size):
    return iter([Prediction("topic", "a", {"a": 1.0})] * len(texts))


def test_memory_does_not_grow_with_the_file(bank, tmp_path):
  path = tmp_path / "in.tsv"
  path.write_text("text\tn\n" + "".join(
      f"a film {number}\t1\n" for number in range(50_000)))
  tracemalloc.start()
  predict_file(ManyRows(bank.info("topic")),
               PredictionConfig(str(path), str(tmp_path / "out.tsv")))
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(records(tmp_path / "out.tsv")) == 50_000
  assert peak < path.stat().st_size
