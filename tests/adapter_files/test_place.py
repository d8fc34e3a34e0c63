"""By writing an adapter file nothing else is lost."""

import dataclasses
import json
import pathlib
import shutil

import pytest

import tf_adapters as ta
from tests.adapters import A, make
from tf_adapters.adapter_files.place import check_place
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_checks import check_start

PEERS = pathlib.Path(__file__).parents[1] / "peers"
OURS = ("adapter_config.json", "adapter.safetensors", "README.md")


@pytest.fixture
def folder(tmp_path):
  """Makes a folder of files; the configuration is that of an adapter file."""
  def made(*names):
    path = tmp_path / "folder"
    for name in names:
      (path / name).parent.mkdir(parents=True, exist_ok=True)
      (path / name).write_text('{"format_version": 2}')
    return path
  return made


def test_adapter_files_may_be_replaced(folder, tmp_path):
  check_place(tmp_path / "nowhere")
  check_place(tmp_path)
  check_place(folder(*OURS))
  check_place(folder(*OURS[:2]))


@pytest.mark.parametrize("other", [
    "notes.txt", "adapter_model.safetensors", "checkpoint-500/optimizer.pt",
    ".git/HEAD"])
def test_what_else_there_is_is_named(folder, other):
  path = folder(*OURS, other)
  with pytest.raises(ta.InputError) as caught:
    check_place(path)
  assert str(caught.value) == (
      f"{path}: holds {other.partition('/')[0]}, which would be lost: choose "
      "another folder")
  assert (path / other).exists()


def test_another_librarys_file_with_names_as_ours(folder):
  path = folder(*OURS)
  (path / "adapter_config.json").write_text('{"config": {}, "name": "a"}')
  with pytest.raises(ta.InputError, match="is another library's adapter file"):
    check_place(path)
  check_place(path, OURS, ours=False)  # who writes such files replaces it
  with pytest.raises(ta.InputError, match="is another library's adapter file"):
    check_place(folder("adapter_config.json"), OURS, ours=False)


def test_saving_and_converting_lose_nothing(hf_source, tmp_path):
  for size in (2, 4):  # the second in the first one's place
    file = make(hf_source, tmp_path / "a", A(size=size), "classification", "yn",
                "pooler", "adapters-layer_norms")
  model = ta.load_adapter(file)
  theirs = tmp_path / "theirs"
  shutil.copytree(PEERS / "peft_files" / "lora", theirs)
  before = {path.name for path in theirs.iterdir()}
  for write in (lambda: ta.save_adapter(model, theirs),
                lambda: ta.average_adapters([file, file], theirs),
                lambda: ta.convert_adapter(file, theirs, "tf_adapters"),
                lambda: ta.convert_adapter(file, theirs, "adapterhub")):
    with pytest.raises(ta.InputError, match="which would be lost"):
      write()
    assert {path.name for path in theirs.iterdir()} == before
  ta.convert_adapter(file, tmp_path / "hub", "adapterhub")
  (tmp_path / "hub" / "notes.txt").write_text("mine")
  with pytest.raises(ta.InputError, match="holds notes.txt"):
    ta.convert_adapter(file, tmp_path / "hub", "adapterhub")
  (tmp_path / "hub" / "notes.txt").unlink()
  ta.convert_adapter(file, tmp_path / "hub", "adapterhub")


def test_a_run_is_refused_before_it_trains(tmp_path):
  (tmp_path / "data.csv").write_text("text,label\n" + "".join(
      f"a{row},{'xy'[row % 2]}\n" for row in range(20)))
  run = OwnRunConfig(data=str(tmp_path / "data.csv"), encoder="minilm_l6",
                     output_dir=str(tmp_path / "run"))
  kept = tmp_path / "run" / "adapter"
  kept.mkdir(parents=True)
  (kept / "adapter_config.json").write_text(json.dumps({"format_version": 2}))
  check_start(run)
  (kept / "notes.txt").write_text("mine")
  with pytest.raises(ta.InputError, match="adapter: holds notes.txt"):
    check_start(run)
  check_start(dataclasses.replace(run, save_adapter=False))
