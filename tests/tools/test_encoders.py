"""tf-adapters convert and tf-adapters inspect."""

import pathlib

import pytest

import tf_adapters as ta
from tests.tools.calling import call
from tf_adapters.checkpoints import hub_export
from tf_adapters.tools import convert, inspect


def test_inspect_describes_an_encoder(hf_source, capfd):
  assert call(inspect, f"--encoder={hf_source}") == 0
  printed = capfd.readouterr().out
  for text in ("Hugging Face folder", str(hf_source), "3 layers", "4 heads",
               "89 wordpieces, lower-cased",
               ta.load_encoder(str(hf_source)).origin.fingerprint):
    assert text in printed


def test_inspect_describes_an_adapter(encoder, tmp_path, capfd):
  model = ta.TextClassifier(encoder, ["bad", "good"])
  ta.save_adapter(model, tmp_path / "sst2", metrics={
      "validation": {"accuracy": 0.75}})
  assert call(inspect, f"--adapter={tmp_path / 'sst2'}") == 0
  printed = capfd.readouterr().out
  for text in ("sst2", "bad, good", "adapter size", "0.7500",
               encoder.origin.fingerprint):
    assert text in printed
  file = tmp_path / "sst2" / "adapter.safetensors"
  file.write_bytes(file.read_bytes()[:-1])
  assert call(inspect, f"--adapter={tmp_path / 'sst2'}") == 1
  assert "adapter.safetensors: damaged" in capfd.readouterr().err


def test_inspect_compares_adapters(task_files, capfd):
  def inspected(a, b):
    assert call(inspect, f"--adapter={task_files[a]}",
                f"--compare_with={task_files[b]}") == 0
    return [line.split("  ") for line in capfd.readouterr().out.splitlines()]

  rows = {row[0]: [cell.strip() for cell in row[1:] if cell]
          for row in inspected("topic", "after")}
  assert rows["setting"] == [str(task_files["topic"]), str(task_files["after"])]
  assert rows["adapter size"] == ["8", "48"]
  assert rows["adapter positions"] == ["attention, output", "output"]
  assert rows["transformer/layer_*/output_adapter/down/bias"] == ["8", "48"]
  assert rows["transformer/layer_*/attention_adapter/down/bias"] == ["8", "-"]
  assert rows["transformer/layer_2/attention_adapter"] == ["552, 0", "-", "-"]
  comparison = ta.compare_adapters(task_files["topic"], task_files["after"])
  part = comparison.parts["transformer/layer_2/output_layer_norm"]
  assert rows["transformer/layer_2/output_layer_norm"] == [
      "64", f"{part.cosine:.6g}", f"{part.distance:.6g}"]
  same = inspected("topic", "topic")
  assert same[0][0] == "part"
  assert [cell.strip() for cell in same[-1] if cell][2:] == ["1", "0"]


def test_convert_writes_two_saved_models(
    one_layer_source, tmp_path, capfd, monkeypatch):
  """Converts twice; the tests of exports look at what is written."""

  def save(encoder, folder, *_):
    (folder / "encoder").write_text(encoder.origin.fingerprint)

  def save_preprocessing(folder, vocab_file, default_seq_length, **_):
    pathlib.Path(folder, "length").write_text(f"{default_seq_length}")

  monkeypatch.setattr(hub_export, "_save_encoder", save)
  monkeypatch.setattr(hub_export.export_tfhub_lib, "export_preprocessing",
                      save_preprocessing)
  arguments = [f"--encoder={one_layer_source}", f"--output={tmp_path / 'bert'}",
               "--preprocess_seq_length=16"]
  assert call(convert, *arguments) == 0
  printed = capfd.readouterr().out
  fingerprint = ta.load_encoder(str(one_layer_source)).origin.fingerprint
  assert fingerprint in printed
  assert (tmp_path / "bert" / "encoder").read_text() == fingerprint
  assert (tmp_path / "bert_preprocess" / "length").read_text() == "16"
  assert call(convert, *arguments) == 1
  assert "is there already: choose another output, or overwrite it" in (
      capfd.readouterr().err)
  # What is no SavedModel stays.
  assert call(convert, *arguments, "--overwrite") == 1
  assert "not overwritten, as it has no saved_model.pb" in (
      capfd.readouterr().err)
  for name in ("bert", "bert_preprocess"):
    (tmp_path / name / "saved_model.pb").touch()
  assert call(convert, *arguments, "--overwrite") == 0
  assert {path.name for path in (tmp_path / "bert").iterdir() if (
      path.is_file())} == {"encoder", "encoder_config.json"}


@pytest.mark.parametrize("tool, arguments, message", [
    (inspect, [], "give either --encoder or --adapter"),
    (inspect, ["--encoder=x", "--adapter=y"], "give either"),
    (inspect, ["--encoder=nowhere"], "no encoder 'nowhere'"),
    (inspect, ["--adapter=nowhere"], "nowhere: not an adapter file"),
    (inspect, ["--compare_with=x"], "give either"),
    (inspect, ["--encoder=x", "--compare_with=y"], "--adapter must be given"),
    (inspect, ["--adapter=nowhere", "--compare_with=x"],
     "nowhere: not an adapter file"),
    (convert, ["--encoder=nowhere"], "--output must be given"),
    (convert, ["--output=x"], "--encoder must be given"),
    (convert, ["--encoder=nowhere", "--output=x"], "no encoder 'nowhere'"),
])
def test_mistakes_are_one_line(tool, arguments, message, capfd):
  assert call(tool, *arguments) == 1
  errors = [line for line in capfd.readouterr().err.splitlines()
            if line.startswith("error:")]
  assert len(errors) == 1
  assert message in errors[0]


def test_help_names_the_flags_of_encoders(capfd):
  assert call(convert, "--help") == 0
  printed = capfd.readouterr().out
  for flag in ("--encoder", "--vocab_file", "do_lower_case", "--output"):
    assert flag in printed
