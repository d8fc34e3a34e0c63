import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import TASKS, A, make

TEXTS = ["the film is good", "", "he said so, very! " * 8, b"not \xff good"]
# What Ray Data hands out: a row for each text of each task, in any order.
ROWS = [(task, text, second) for task, (*_, pairs) in TASKS.items()
        for text in TEXTS for second in (
            ["so he said", ""] if pairs else [None, ""] if pairs is False
            else [None, "", "so he said"])]


def columns(rows):
  task, text, second = (
      np.array(column, object) for column in zip(*rows))
  return {"task": task, "review": text, "to": second}


@pytest.fixture(scope="module")
def predictor(hf_source, task_files):
  return ta.BatchPredictor(
      str(hf_source), list(task_files.values()), text_column="review",
      text_pair_column="to", task_column="task", predict_batch_size=16)


def test_columns_are_what_the_bank_says(predictor):
  order = np.random.default_rng(0).permutation(len(ROWS))
  rows = [ROWS[place] for place in order]
  batch = columns(rows)
  got = predictor(batch)
  assert list(got) == ["task", "review", "to", "prediction", "scores"]
  for name, column in batch.items():
    assert got[name] is column
  bank = predictor._bank  # another one would be traced anew
  texts = [(text, second) if second or TASKS[task][-1] else text
           for task, text, second in rows]
  tasks = batch["task"]
  for task, prediction, scores, label, proba in zip(
      tasks, got["prediction"], got["scores"],
      bank.predict(texts, tasks, 16), bank.predict_proba(texts, tasks, 16)):
    assert type(scores) is list
    match TASKS[task][1]:
      case "tagging":
        assert prediction == " ".join(tag for _, tag in label)
        assert scores == [max(tags.values()) for _, tags in proba]
      case "multi_label":
        assert prediction == ",".join(label)
        assert scores == list(proba.values())
      case "regression":
        assert prediction == f"{label:.6g}"
        assert scores == [label]
      case _:
        assert prediction == label
        assert scores == list(proba.values())


def test_one_task_needs_no_column(one_layer_source, tmp_path):
  topic = make(one_layer_source, tmp_path / "topic", *TASKS["topic"])
  predictor = ta.BatchPredictor(str(one_layer_source), {"x": topic})
  bank = ta.AdapterBank(str(one_layer_source), [topic])
  # Strings of a fixed length, as NumPy makes them.
  got = predictor({"text": np.array(["good", "bad film"])})
  assert got["prediction"].tolist() == bank.predict(
      ["good", "bad film"], "topic")
  got = predictor({"text": np.array([], object)})
  assert len(got["prediction"]) == len(got["scores"]) == 0


def test_answers_are_pieces_of_their_contexts(one_layer_source, tmp_path):
  path = make(one_layer_source, tmp_path / "squad", A(size=8), "span", "",
              "mean", "adapters", 20, True, span={
                  "max_query_length": 5, "doc_stride": 6})
  pairs = [("is the plot bad", "he said the film is good. " * 4), ("", "good")]
  got = ta.BatchPredictor(
      str(one_layer_source), [path], "question", "context")({
      name: np.array(column, object) for name, column in zip(
          ("question", "context"), zip(*pairs))})
  bank = ta.AdapterBank(str(one_layer_source), [path])
  assert got["prediction"].tolist() == bank.predict(pairs, "squad")
  assert got["scores"].tolist() == [
      list(answers.values()) for answers in bank.predict_proba(pairs, "squad")]


def test_a_column_of_nulls_alone_is_none(predictor):
  batch = columns([("topic", "good", None), ("score", "bad", None)])
  expected = predictor(batch)
  got = predictor({**batch, "to": np.full(2, np.nan, np.float32)})
  assert got["scores"].tolist() == expected["scores"].tolist()
  with pytest.raises(ta.InputError, match="text 0: expected strings, not None"):
    predictor({**batch, "review": np.full(2, np.nan, np.float32)})


@pytest.mark.parametrize("row, message", [
    (("nothing", "good", None), "no task 'nothing'; there is"),
    (("base", "good", None), "no task 'base'"),
    ((None, "good", None), "no task None"),
    (("topic", None, None), "text 1: expected strings, not None"),
    (("topic", 5, None), "text 1: expected strings, not 5"),
    (("score", "good", 5), "text 1: expected strings, not 'good' and 5"),
    (("topic", "good", "bad"), "text 1: task topic is on single texts"),
    (("same", "good", None), "text 1: task same is on pairs"),
])
def test_wrong_rows_are_named(predictor, row, message):
  with pytest.raises(ta.InputError, match=message):
    predictor(columns([("topic", "good", None), row]))


def test_wrong_columns_are_named(hf_source, task_files, predictor):
  batch = columns(ROWS)
  with pytest.raises(ta.InputError, match="column 'prediction' already"):
    predictor({**batch, "prediction": batch["task"]})
  del batch["review"]
  with pytest.raises(
      ta.InputError, match="no column 'review'; there is task, to"):
    predictor(batch)
  with pytest.raises(
      ta.InputError, match=rf"{len(TASKS)} tasks \(topic, same.*task_col"):
    ta.BatchPredictor(str(hf_source), task_files)


@pytest.fixture
def ray(monkeypatch):
  """A Ray of this machine: two workers, and a CPU that reads and writes."""
  ray = pytest.importorskip("ray")
  pytest.importorskip("ray.data")
  monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
  ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
  yield ray
  ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tiny", "minilm_l6"])
def test_two_workers_of_ray_predict_what_one_process_does(
    ray, encoder, hf_source, task_files, tmp_path):
  import pyarrow.parquet

  if encoder == "tiny":
    source, adapters = str(hf_source), list(map(str, task_files.values()))
    rows = [row for row in ROWS if isinstance(row[1], str)] * 20
  else:
    source = encoder
    adapters = [
        str(make(source, tmp_path / name, A(size=size), "classification",
                 labels, "mean", "adapters", seed=size))
        for name, size, labels in (("two", 8, "yn"), ("three", 16, "abc"))]
    rows = [(("two", "three")[i % 2], "a moving film " * (i % 9), "")
            for i in range(300)]
  arguments = dict(
      encoder_source=source, adapters=adapters, text_column="review",
      text_pair_column="to", task_column="task")
  expected = ta.BatchPredictor(**arguments)(columns(rows))
  ray.data.from_items([
      {"row": row, "task": task, "review": text, "to": second}
      for row, (task, text, second) in enumerate(rows)
  ]).repartition(6).map_batches(
      ta.BatchPredictor, fn_constructor_kwargs=arguments, concurrency=2,
      batch_size=64).write_parquet(str(tmp_path / "predicted"))
  got = pyarrow.parquet.read_table(tmp_path / "predicted").to_pylist()
  assert sorted(record["row"] for record in got) == list(range(len(rows)))
  for record in got:
    row = record["row"]
    assert (record["task"], record["review"], record["to"]) == rows[row]
    assert record["prediction"] == expected["prediction"][row]
    np.testing.assert_allclose(
        record["scores"], expected["scores"][row], atol=1e-6)
