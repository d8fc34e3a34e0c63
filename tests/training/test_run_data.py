"""Files that change belong to another run."""

import dataclasses
import json
import pathlib
import shutil

import pytest

import tf_adapters as ta
from tests.conftest import write_sentiment
from tests.glue_files import write_task
from tf_adapters.data import squad
from tf_adapters.data.loading import load_task
from tf_adapters.data.sampling import hold_out
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig
from tf_adapters.training.run_data import digests_of
from tf_adapters.training.run_plan import finished_results

pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(scope="module")
def trained(one_layer_source, tmp_path_factory):
  """A folder with data, and a run on it that nothing happens to."""
  folder = tmp_path_factory.mktemp("trained")
  (folder / "data").mkdir()
  write_sentiment(folder / "data")
  (folder / "data" / "test.tsv").rename(folder / "test.tsv")
  shutil.copy(pathlib.Path(one_layer_source) / "vocab.txt", folder)
  run(config_of(folder, one_layer_source))
  return folder


def config_of(folder, source):
  return GlueRunConfig(
      task_name="tsv", encoder=str(source), data_dir=str(folder / "data"),
      vocab_file=str(folder / "vocab.txt"), output_dir=str(folder / "run"),
      do_train=True, do_eval=True, adapter_size=4, max_seq_length=8,
      train_batch_size=16, num_train_epochs=1, learning_rate=0.01)


@pytest.fixture
def config(trained, one_layer_source, tmp_path):
  """Such a run, whose files may change."""
  folder = tmp_path / "copy"
  shutil.copytree(trained, folder)
  config = config_of(folder, one_layer_source)
  for name in ("flags.flags", "data.json"):  # they name the files
    path = folder / "run" / name
    path.write_text(path.read_text().replace(str(trained), str(folder)))
  return config


def grow(path):
  path.write_text(path.read_text() + "not bad\tgood\n")


def refused(config, message):
  with pytest.raises(ta.InputError, match=message) as caught:
    run(config)
  assert "\n" not in str(caught.value)
  assert "output_dir" in str(caught.value)


@pytest.mark.parametrize("name, what", [
    ("data/train.tsv", "train split"), ("data/dev.tsv", "validation split"),
    ("vocab.txt", "vocab_file")])
def test_a_finished_run_is_of_its_files(config, tmp_path, name, what, capsys):
  assert run(config)["steps"] == 3
  grow(tmp_path / "copy" / name)
  message = f"{name}: is not what the run in .*/run read as its {what}: "
  refused(config, message)
  # Nor is it when it is to be done what was not.
  refused(dataclasses.replace(config, do_predict=True), message)
  refused(dataclasses.replace(config, do_train=False), message)
  with pytest.raises(ta.InputError, match=message):
    finished_results(config)
  assert "finished" in capsys.readouterr().out


def test_a_stopped_run_is_of_its_files(config, tmp_path):
  data = tmp_path / "copy" / "data"
  (tmp_path / "copy" / "run" / "results.json").unlink()
  content = (data / "dev.tsv").read_text()
  grow(data / "dev.tsv")
  refused(config, "dev.tsv: is not what the run in .* validation split")
  (data / "dev.tsv").unlink()
  refused(config, "has a validation split, of .*dev.tsv, which is not there")
  (data / "dev.tsv").write_text(content)
  assert run(config)["steps"] == 3


def test_a_test_split_may_come_later(config, tmp_path):
  data = tmp_path / "copy" / "data"
  shutil.copy(tmp_path / "copy" / "test.tsv", data)
  predicting = dataclasses.replace(config, do_predict=True)
  run(predicting)
  assert (tmp_path / "copy/run/predictions/test.tsv").exists()
  run(predicting)
  grow(data / "test.tsv")
  refused(predicting, "test.tsv: is not what the run in .* test split")


def test_what_is_gone_has_not_changed(config, tmp_path, capsys):
  shutil.rmtree(tmp_path / "copy" / "data")
  run(config)
  assert "finished" in capsys.readouterr().out


def test_files_may_lie_elsewhere(config, tmp_path):
  # The same content, by another path that the same flag leads to.
  known = tmp_path / "copy" / "run" / "data.json"
  known.write_text(known.read_text().replace("/copy/", "/nowhere/"))
  shutil.copy(tmp_path / "copy" / "test.tsv", tmp_path / "copy" / "data")
  run(dataclasses.replace(config, do_predict=True))
  grow(tmp_path / "copy" / "data" / "train.tsv")
  (tmp_path / "copy" / "run" / "results.json").unlink()
  refused(config, "train.tsv: is not what the run in")


def test_older_runs_know_nothing_of_their_files(config, tmp_path, capsys):
  (tmp_path / "copy" / "run" / "data.json").unlink()
  grow(tmp_path / "copy" / "data" / "dev.tsv")
  run(config)
  assert "finished" in capsys.readouterr().out


@pytest.mark.parametrize("content, message", [
    ("{", "not readable as JSON"), ('{"train": 3}', "damaged"),
    ('{"train": {"x": 3}}', "damaged")])
def test_what_is_damaged_is_said(config, tmp_path, content, message):
  (tmp_path / "copy" / "run" / "data.json").write_text(content)
  with pytest.raises(ta.InputError, match=f"data.json: {message}"):
    run(config)


def names(task):
  return {split: sorted(pathlib.Path(name).name for name in files)
          for split, files in digests_of(task).items()}


def test_every_kind_of_task_names_its_files(tmp_path):
  write_task(tmp_path, "mnli")
  assert names(load_task("mnli", str(tmp_path)))[
      "validation_mismatched"] == ["dev_mismatched.tsv"]
  write_sentiment(tmp_path)
  task = load_task("tsv", str(tmp_path))
  assert names(task) == {"train": ["train.tsv"], "validation": ["dev.tsv"],
                         "test": ["test.tsv"]}
  assert names(hold_out(task, 0.5)) == {
      "train": ["train.tsv"], "validation": ["train.tsv"],
      "test": ["dev.tsv"]}
  tags = tmp_path / "tags"
  tags.mkdir()
  (tags / "train.conll").write_text("he\tO\nsaid\tB\n")
  assert names(load_task("tagging", str(tags))) == {"train": ["train.conll"]}
  questions = tmp_path / "squad.json"
  questions.write_text(json.dumps({"data": [{"paragraphs": [{
      "context": "he said", "qas": [{
          "id": "1", "question": "who?",
          "answers": [{"text": "he", "answer_start": 0}]}]}]}]}))
  assert names(squad.load(str(questions))) == {"train": ["squad.json"]}


def test_folders_of_files_are_as_their_files(tmp_path):
  for part in ("train", "test"):
    for group in ("a", "b"):
      folder = tmp_path / f"20news-bydate-{part}" / group
      folder.mkdir(parents=True)
      for number in range(4):
        (folder / str(number)).write_text(f"From: x\n\n{group} {number} {part}")
  task = load_task("newsgroups", str(tmp_path))
  before = digests_of(task)
  assert names(task)["test"] == ["20news-bydate-test", "20news-bydate-train"]
  (tmp_path / "20news-bydate-test" / "b" / "3").rename(
      tmp_path / "20news-bydate-test" / "a" / "9")
  assert digests_of(task)["train"] != before["train"]
