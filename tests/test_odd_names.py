"""Paths that no system has, or that are not UTF-8: one line, everywhere."""

import pytest

import tf_adapters as ta
from tests.experiments.made_up import MadeUp, write_sweep
from tests.tools import calling
from tf_adapters.adapter_files.card import describe_adapter
from tf_adapters.checkpoints.hub_export import export_hub
from tf_adapters.checkpoints.loading import describe_encoder
from tf_adapters.experiments.report import make_report, write_report
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.sweep_folder import read_sweep
from tf_adapters.files.reading import read_file, read_json
from tf_adapters.files.writing import replaced_folder, write_file, writing
from tf_adapters.tools import glue, predict, report, sweep

NAMES = [pytest.param(name, id=what) for what, name in (
    ("long", "x" * 5000), ("deep", "x/" * 2500),
    ("no UTF-8", "bad\udcff\udcfename"), ("NUL", "nul\0"))]


@pytest.fixture(scope="module")
def model(hf_source):
  return ta.TextClassifier(
      ta.load_encoder(str(hf_source), ta.AdapterConfig(size=2)), ["no", "yes"],
      pooling="mean")


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory):
  return write_sweep(tmp_path_factory.mktemp("sweep") / "sweep", [
      MadeUp("rte", "a", 0, {}, {"validation": {"accuracy": 0.5}})])


READERS = [
    ta.load_encoder, describe_encoder, ta.load_adapter, describe_adapter,
    read_file, read_json, read_spec, read_sweep,
    lambda path: ta.load_task("tsv", path)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("read", READERS)
def test_what_is_read(tmp_path, name, read):
  with pytest.raises(ta.InputError) as caught:
    read(tmp_path / name)
  assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written(model, hf_source, sweep_dir, tmp_path, name):
  path = tmp_path / name
  plain = ta.load_encoder(str(hf_source))

  def write_anything():
    with writing(path):
      write_file(path, "text")

  def write_folder():
    with writing(path), replaced_folder(path):
      pass

  for write in (
      write_anything, write_folder,
      lambda: ta.save_adapter(model, path),
      lambda: ta.export_litert(model, path.with_name(f"{path.name}.tflite")),
      lambda: ta.export_model(model, path),
      lambda: export_hub(plain, path, 24),
      lambda: write_report(make_report([sweep_dir]), path)):
    with pytest.raises(ta.InputError) as caught:
      write()
    assert str(caught.value).isprintable()
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("tool, arguments", [
    (report, ["--sweep_dir={name}"]),
    (report, ["--sweep_dir={sweep}", "--output_dir={name}"]),
    (sweep, ["--spec={name}", "--output_dir=x"]),
    (glue, ["--task_name=tsv", "--data_dir={name}", "--output_dir=x",
            "--do_train"]),
    (predict, ["--adapter={name}", "--input=x.csv", "--output=y.csv"]),
])
def test_tools(sweep_dir, capsys, tool, arguments, name):
  assert calling.call(tool, *(argument.format(sweep=sweep_dir, name=name)
                              for argument in arguments)) == 1
  error = capsys.readouterr().err
  assert error.startswith("error: ")
  assert error[:-1].isprintable()
