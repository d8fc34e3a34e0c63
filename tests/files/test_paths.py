"""Every public function that reads or writes takes a pathlib.Path."""

import inspect
import json
import pathlib

import pytest

import tf_adapters as ta
from tests.text_modules import write_text_module
from tf_adapters.adapter_files.info import read_info
from tf_adapters.checkpoints.loading import describe_encoder
from tf_adapters.data import squad


@pytest.fixture
def adapter(one_layer_source, vocab_file, tmp_path):
  """An adapter file whose encoder was found by a path."""
  encoder = ta.load_encoder(
      pathlib.Path(one_layer_source), ta.AdapterConfig(size=4),
      vocab_file=pathlib.Path(vocab_file))
  path = tmp_path / "adapter"
  model = ta.TextClassifier(encoder, ["no", "yes"])
  assert ta.save_adapter(model, str(path)) == path
  return path


def test_encoders_and_adapter_files(adapter, one_layer_source, vocab_file,
                                    tmp_path):
  assert read_info(adapter).encoder["source"] == str(one_layer_source)
  source = pathlib.Path(one_layer_source)
  model = ta.load_adapter(adapter, encoder_source=source,
                          vocab_file=pathlib.Path(vocab_file))
  assert model.encoder.origin.source == str(source)
  assert json.dumps(describe_encoder(source, pathlib.Path(vocab_file)))
  bank = ta.AdapterBank(source, {"mine": adapter}, pathlib.Path(vocab_file))
  bank.add(adapter)
  assert bank.names() == ["mine", "adapter"]
  ta.BatchPredictor(source, [adapter], vocab_file=pathlib.Path(vocab_file))
  assert ta.average_adapters(
      [adapter, adapter], str(tmp_path / "mean")) == tmp_path / "mean"
  assert str(ta.compare_adapters(adapter, tmp_path / "mean"))


def test_paths_have_one_name_and_type():
  """Of all public functions, and of the methods of public classes."""
  functions = [value for name in ta.__all__ for public in [getattr(ta, name)]
               for value in [public, *vars(public).values()]
               if inspect.isfunction(value)]
  assert len(functions) > 50
  paths = {"path", "paths", "encoder_source", "vocab_file", "data_dir"}
  found = set()
  for function in functions:
    for name, parameter in inspect.signature(function).parameters.items():
      if name in paths:
        assert "os.PathLike[str]" in str(parameter.annotation), function
        found.add(name)
      assert name not in ("output", "do_lower_case", "folder", "directory")
  assert found == paths


def test_embeddings(one_layer_source, vocab_file, tmp_path):
  embedding = ta.load_word_embedding(
      pathlib.Path(one_layer_source), pathlib.Path(vocab_file))
  assert embedding.origin.source == str(one_layer_source)
  path = pathlib.Path(write_text_module(tmp_path / "module"))
  assert ta.load_text_embedding(path).origin.source == str(path)


def test_data(tmp_path):
  for name in ("train", "dev"):
    (tmp_path / f"{name}.tsv").write_text("text\tlabel\na\tx\nb\ty\n")
    (tmp_path / "tags").mkdir(exist_ok=True)
    (tmp_path / "tags" / f"{name}.conll").write_text("a\tx\nb\ty\n")
  file = tmp_path / "squad.json"
  file.write_text(json.dumps({"data": [{"paragraphs": [{
      "context": "a b", "qas": [{"id": "1", "question": "?", "answers": [
          {"text": "b", "answer_start": 2}]}]}]}]}))
  assert ta.load_task("tsv", tmp_path).labels == ("x", "y")
  assert ta.load_task("tagging", tmp_path / "tags").labels == ("x", "y")
  assert len(squad.load(file, file).split("train")) == 1
  for name in ("rte", "airline"):
    with pytest.raises(ta.InputError, match=str(tmp_path)):
      ta.load_task(name, tmp_path)
