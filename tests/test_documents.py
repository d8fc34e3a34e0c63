"""What the documents for notebooks show runs as it is, on a tiny encoder."""

import pathlib
import re

import pytest
import tensorflow as tf

import tf_adapters as ta
from tf_adapters.training import defaults

pd = pytest.importorskip("pandas")

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = (ROOT / "docs" / "notebook.md").read_text()
README = (ROOT / "README.md").read_text()


def blocks(text):
  return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def run(tmp_path, monkeypatch, one_layer_source):
  """Runs code in a folder with tickets.csv; returns its names."""
  rows = [f"the film {number} is {word}," + team for number in range(10)
          for word, team in (("good", "sales"), ("bad", "billing"))]
  (tmp_path / "tickets.csv").write_text(
      "\n".join(["ticket_text,team", *rows]) + "\n")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(defaults, "_ENOUGH_STEPS", 3)

  def run(code, **names):
    code = code.replace('"minilm_l6"', repr(str(one_layer_source)))
    exec(compile(code, "document", "exec"), names)
    return names

  return run


@pytest.mark.parametrize("document", [README, NOTEBOOK],
                         ids=["README.md", "notebook.md"])
def test_from_a_data_frame_to_predictions(document, run, eagerly):
  names = run(blocks(document)[0])
  assert set(names["df"].predicted) <= {"sales", "billing"}
  loaded = ta.TextTask.load("adapters/tickets")
  assert loaded.predict(names["df"].ticket_text[:3]).tolist() == list(
      names["df"].predicted[:3])


def test_each_source_of_data(run):
  calls = [call for call in re.findall(
      r"`(ta\.Dataset\.from_\w+\(.*?\))` \|", NOTEBOOK) if "[...]" not in call]
  assert len(calls) == 5
  df = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]})
  texts, labels = list(df.text), list(df.label)
  for call in calls:
    data = run(f"data = {call}", ta=ta, df=df, a=df, b=df, c=df, texts=texts,
               labels=labels, dataset=tf.data.Dataset.from_tensor_slices(
                   (texts, labels)))["data"]
    assert len(data.labels) == 2


@pytest.mark.slow
def test_scikit_learn(run, eagerly):
  df = pd.read_csv("tickets.csv")
  names = run(blocks(NOTEBOOK)[1], ta=ta, df=df)
  assert names["estimator"].get_params()["epochs"] == 3
