"""Adapter files on the Hugging Face Hub, from a server on this machine."""

import pathlib
import shutil

import numpy as np
import pytest
import yaml

import tf_adapters as ta
from tests.adapters import edit, make
from tests.hugging_face_hub import serving
from tests.tools.calling import call
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.info import read_info
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.sharing import pull_adapter
from tf_adapters.tools import inspect, predict, pull, push

pytest.importorskip("huggingface_hub")

BY_0_1 = pathlib.Path(__file__).parent / "written_by_0_1"
PEERS = pathlib.Path(__file__).parents[1] / "peers"
FILES = {"adapter_config.json", "adapter.safetensors", "README.md"}
# Tests push from a folder that is nobody else's.
pytestmark = pytest.mark.filterwarnings("ignore:.*which others do not have")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
  with serving(tmp_path_factory.mktemp("cache")) as hub:
    hub.upload("org/tiny", BY_0_1 / "encoder")
    hub.upload("org/unasked", BY_0_1 / "encoder")
    yield hub


@pytest.fixture(scope="module")
def file(hub, tmp_path_factory):
  """The adapter file of a task on an encoder of the Hub."""
  return make(
      "hf://org/tiny", tmp_path_factory.mktemp("file") / "mine",
      ta.AdapterConfig(size=4), "classification", "yn", "mean", "adapters", 24)


@pytest.fixture(scope="module")
def published(hub, file):
  return ta.push_to_hub(file, "me/mine")


def head_of(hub, name):
  card = hub.files(name)["README.md"].decode()
  _, head, body = card.split("---\n", 2)
  return yaml.safe_load(head), body


def logits(model):
  return model(model.encoder.text_processor(24)(["the film", ""])).numpy()


def refuses(message, *arguments, **keywords):
  with pytest.raises(ta.InputError, match=message) as caught:
    ta.push_to_hub(*arguments, **keywords)
  assert "\n" not in str(caught.value)


def test_what_is_published_is_the_file(hub, file, published):
  assert published == f"hf://me/mine@{hub.refs['me/mine']['main']}"
  files = hub.files("me/mine")
  assert set(files) == {*FILES, ".gitattributes"}
  for name in FILES - {"README.md"}:
    assert files[name] == (file / name).read_bytes()
  assert "me/mine" not in hub.private


def test_it_loads_from_there(hub, file, published):
  np.testing.assert_array_equal(
      logits(ta.load_adapter(published)), logits(ta.load_adapter(file)))
  bank = ta.AdapterBank("hf://org/tiny", ["hf://me/mine"])
  bank.add(published, "again")
  assert bank.names() == ["mine", "again"]
  assert not ta.compare_adapters(published, file).settings
  assert not set(hub.fetched()) & {"README.md"}


def test_a_task_of_a_notebook_is_published_as_its_model(hub, published):
  ta.push_to_hub(ta.TextTask.load(published), "me/notebook")
  assert hub.files("me/notebook")["adapter.safetensors"] == hub.files(
      "me/mine")["adapter.safetensors"]
  refuses("not of a int", 3, "me/x")


def test_another_commit_does_not_change_the_first(hub, file, published):
  model = ta.load_adapter(file)
  bias = model.named_variables()["head/bias"]
  bias.assign_add([1, 0])
  newer = ta.push_to_hub(model, "me/mine")
  assert newer != published
  np.testing.assert_array_equal(
      logits(ta.load_adapter("hf://me/mine")), logits(model))
  np.testing.assert_array_equal(
      logits(ta.load_adapter(published)), logits(ta.load_adapter(file)))


def test_the_card_says_what_is_known(hub, file, tmp_path):
  ta.push_to_hub(file, "me/card")
  head, body = head_of(hub, "me/card")
  assert head == {
      "library_name": "tf_adapters", "base_model": "org/tiny",
      "base_model_relation": "adapter", "pipeline_tag": "text-classification",
      "tags": ["adapter", "bert", "bottleneck"]}
  assert 'ta.load_adapter("hf://me/card")' in body
  model = ta.load_adapter(file)
  ta.save_adapter(model, tmp_path / "measured", metrics={
      "validation": {"accuracy": 0.75, "macro_f1": float("nan")},
      "test": {"macro_f1": float("nan")}})
  ta.push_to_hub(
      tmp_path / "measured", "me/card", license="apache-2.0", language="en",
      datasets=["org/films"])
  head, _ = head_of(hub, "me/card")
  assert head["license"] == "apache-2.0"
  assert head["language"] == "en"
  assert head["datasets"] == ["org/films"]
  assert head["model-index"] == [{"name": "mine", "results": [{
      "task": {"type": "text-classification"},
      "dataset": {"name": "mine", "type": "mine", "split": "validation"},
      "metrics": [{"type": "accuracy", "value": 0.75}]}]}]


def test_what_its_author_has_written_stays(hub, file, tmp_path):
  path = shutil.copytree(file, tmp_path / "written")
  card = (path / "README.md").read_text()
  (path / "README.md").write_text(card.replace(
      "base_model: org/tiny", "base_model: me/own\nlicense: mit")
      + "\nMy words.\n")
  ta.push_to_hub(path, "me/written", language="de")
  head, body = head_of(hub, "me/written")
  assert (head["license"], head["language"], head["base_model"]) == (
      "mit", "de", "me/own")
  assert body.endswith("\nMy words.\n")
  (path / "README.md").write_text("---\n[\n---\n")
  refuses("README.md: the card's head cannot be read as YAML", path, "me/x")


def test_files_of_version_0_1_get_a_head(hub):
  with pytest.warns(UserWarning, match="its encoder is .*, which others do not "
                    "have"):
    ta.push_to_hub(BY_0_1 / "tagging", "me/old", private=True)
  head, body = head_of(hub, "me/old")
  assert head["pipeline_tag"] == "token-classification"
  assert "base_model" not in head
  assert body.startswith("# ")
  assert "me/old" in hub.private


def test_the_encoder_that_a_file_names_is_not_fetched(hub, file, tmp_path):
  path = shutil.copytree(file, tmp_path / "stranger")
  edit(path, encoder={**read_info(path).encoder, "source": "hf://org/unasked"})
  hub.requests.clear()
  with pytest.raises(ta.InputError, match="made for the encoder at hf://org/"
                     "unasked, which is fetched only if you give it yourself"):
    ta.load_adapter(path)
  assert not hub.requests
  expected = logits(ta.load_adapter(path, "hf://org/unasked"))
  # Who has asked for it once has it, and nobody else is asked.
  hub.requests.clear()
  model = ta.load_adapter(path)
  np.testing.assert_array_equal(logits(model), expected)
  assert not hub.requests
  assert model.encoder.origin.source == (
      f"hf://org/unasked@{hub.refs['org/unasked']['main']}")


def test_files_of_other_libraries_load_from_there(hub, published, tmp_path):
  """Their torch files are asked for where there is nothing else."""
  for path, names in {
      PEERS / "adapterhub_files" / "houlsby": {
          "head_config.json", "pytorch_adapter.bin",
          "pytorch_model_head.bin"},
      PEERS / "adapterhub_files" / "ia3": {
          "adapter.safetensors", "head_config.json",
          "model_head.safetensors"},
      PEERS / "peft_files" / "dora": {"adapter_model.safetensors"}}.items():
    name = f"org/{path.name}"
    hub.upload(name, path)
    hub.commit(name, {"pytorch_model.bin": b"x", "optimizer.pt": b"x"})
    if "adapter_model.safetensors" in names:
      hub.commit(name, {"adapter_model.bin": b"x"})
    hub.requests.clear()
    file = open_adapter(find_adapter(f"hf://{name}"), ["a", "b", "c"] if (
        "peft" in str(path)) else None)
    assert file.foreign
    assert set(hub.fetched()) == {"adapter_config.json", *names}
    assert find_adapter(f"hf://{name}") == file.path
    assert not hub.fetched()
  refuses("was written by another library", PEERS / "peft_files" / "dora",
          "me/x")
  pull_adapter("hf://org/ia3", tmp_path / "ia3")
  assert open_adapter(tmp_path / "ia3").foreign


def test_files_of_other_libraries_are_taken_as_they_are(hub, tmp_path, capfd):
  """Without labels, without a head; and nothing else of the cache."""
  headless = shutil.copytree(PEERS / "adapterhub_files" / "ia3", tmp_path / "x")
  for file in headless.glob("*head*"):
    file.unlink()
  for path in (PEERS / "peft_files" / "dora", headless,
               PEERS / "adapterhub_files" / "houlsby"):
    source = f"hf://org/{path.name}"
    hub.upload(f"org/{path.name}", path)
    cached = find_adapter(source)
    (cached / "training_args.bin").write_bytes(b"a pickle")
    (cached / "checkpoint-500").mkdir()
    output = tmp_path / "pulled" / path.name
    assert call(pull, f"--adapter={source}", f"--output={output}") == 0
    assert path.name == "x" or str(output) in capfd.readouterr().out
    assert {file.name for file in output.iterdir()} == {
        file.name for file in path.iterdir()}
  (headless / "adapter.safetensors").write_bytes(b"x")
  hub.upload("org/torn", headless)
  with pytest.raises(ta.InputError, match="org--torn.*adapter.safetensors"):
    pull_adapter("hf://org/torn", tmp_path / "torn")


def test_what_cannot_be_published_is_refused(hub, file, tmp_path, monkeypatch):
  hub.commit("me/bert", {"model.safetensors": b"x", "config.json": b"{}"})
  hub.requests.clear()
  refuses("hf://me/bert: holds config.json, and no adapter file", file,
          "me/bert")
  assert set(hub.files("me/bert")) == {"model.safetensors", "config.json"}
  refuses("published on the main branch: leave out @v2", file, "me/mine@v2")
  refuses("is no repository", file, "me mine")
  refuses("not an adapter file", tmp_path, "me/x")
  damaged = shutil.copytree(file, tmp_path / "damaged")
  (damaged / "adapter.safetensors").write_bytes(b"x")
  refuses("damaged", damaged, "me/x")
  monkeypatch.delenv("HF_TOKEN")
  refuses(r"hf://me/x: http.* refuses it \(401\): log in", file, "me/x")
  refuses(r"hf://me/mine: http.*: log in", file, "me/mine")
  assert "me/x" not in hub.commits
  hub.is_silent = True
  refuses(r"hf://me/x: http://.* cannot be reached \(\w+\)$", file, "me/x")
  hub.is_silent = False


def test_tools_publish_and_take(hub, file, tmp_path, capfd):
  assert call(push, f"--adapter={file}", "--repository=me/tool",
              "--language=en", "--datasets=a/b,c/d") == 0
  source = f"hf://me/tool@{hub.refs['me/tool']['main']}"
  assert source in capfd.readouterr().out
  assert head_of(hub, "me/tool")[0]["datasets"] == ["a/b", "c/d"]
  output = tmp_path / "pulled"
  assert call(pull, "--adapter=hf://me/tool", f"--output={output}") == 0
  assert str(output) in capfd.readouterr().out
  assert call(pull, "--adapter=hf://me/tool", f"--output={output}") == 1
  assert "pulled: is there already" in capfd.readouterr().err
  assert call(pull, "--adapter=hf://me/tool", f"--output={output}",
              "--overwrite") == 0
  assert {path.name for path in output.iterdir()} == FILES
  assert not any(path.is_symlink() for path in output.iterdir())
  np.testing.assert_array_equal(
      logits(ta.load_adapter(output)), logits(ta.load_adapter(file)))
  assert call(inspect, f"--adapter={source}") == 0
  assert "hf://org/tiny" in capfd.readouterr().out


def test_what_cannot_be_taken_is_refused(hub, published, tmp_path, capfd):
  hub.commit("me/half", {
      name: hub.files("me/mine")[name] for name in FILES - {"README.md"}})
  hub.commit("me/half", {"adapter.safetensors": b"x"})
  hub.commit("me/lacking", {
      "adapter_config.json": hub.files("me/mine")["adapter_config.json"]})
  (tmp_path / "notes.txt").write_text("mine")
  for source, path, message in (
      ("hf://me/none", "x", "no such repository"),
      ("hf://org/tiny", "x", "hf://org/tiny: has no adapter_config.json"),
      ("hf://me/half", "x", "damaged"),
      ("hf://me/lacking", "x", "adapter.safetensors"),
      ("hf://me/mine", "", "is there already, and is no adapter file")):
    with pytest.raises(ta.InputError, match=message) as caught:
      pull_adapter(source, tmp_path / path)
    assert "\n" not in str(caught.value)
  assert not (tmp_path / "x").exists()
  with pytest.raises(ta.InputError, match="is not on this machine: `tf-adapters"
                     " pull --adapter=hf://me/mine --output=FOLDER`"):
    read_info("hf://me/mine")
  assert call(predict, "--adapter=a=hf://me/none", "--input=x.csv",
              "--output=y.csv") == 1
  assert "error: hf://me/none: there is no such" in capfd.readouterr().err
  assert call(pull, "--adapter=hf://me/mine") == 1
  assert "--output must be given" in capfd.readouterr().err
