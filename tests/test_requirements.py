"""The package requires what it imports, however late it does so."""

import ast
import configparser
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest
from packaging.requirements import Requirement

from tf_adapters.data.loading import load_task
from tf_adapters.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = [ROOT / "run_glue.py", *sorted((ROOT / "tf_adapters").rglob("*.py"))]


def requirements():
  """{distribution: specification} of setup.cfg, extras in their brackets."""
  config = configparser.ConfigParser()
  config.read(ROOT / "setup.cfg")
  sections = {"": config["options"]["install_requires"],
              **config["options.extras_require"]}
  return {extra: [Requirement(line) for line in text.splitlines()
                  if line and not line.startswith("#")]
          for extra, text in sections.items()}


def normal(name):
  return re.sub(r"[-_.]+", "-", name).lower()


def names_imported(tree):
  """Modules that a file or a function imports, at its start or later."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module


def imported():
  """{top-level module that is not Python's own: files that import it}."""
  found = {}
  for path in SOURCES:
    for name in names_imported(ast.parse(path.read_text())):
      found.setdefault(name.partition(".")[0], set()).add(
          str(path.relative_to(ROOT)))
  return {name: files for name, files in found.items()
          if name not in sys.stdlib_module_names and name != "tf_adapters"}


def closure(roots):
  """The distributions that pip installs for requirements, by normal name."""
  seen, left = set(), [(root, root.extras) for root in roots]
  while left:
    requirement, extras = left.pop()
    key = normal(requirement.name), frozenset(extras)
    if key in seen:
      continue
    seen.add(key)
    try:
      lines = importlib.metadata.requires(requirement.name) or []
    except importlib.metadata.PackageNotFoundError:
      continue  # of another platform
    for line in lines:
      child = Requirement(line)
      if child.marker is None or any(
          child.marker.evaluate({"extra": extra}) for extra in (extras or [""])
      ) or child.marker.evaluate({"extra": ""}):
        left.append((child, child.extras))
  return {name for name, _ in seen}


def test_every_import_is_a_requirement():
  asked = {extra: {normal(one.name) for one in ones}
           for extra, ones in requirements().items()}
  provided_by = importlib.metadata.packages_distributions()
  for module, files in imported().items():
    # What is not installed is called as its package is: ray.
    names = {normal(name) for name in provided_by.get(module, [module])}
    if module == "google":  # a namespace of many
      names = {"protobuf"}
    extra = {"ray": "sweep", "pyarrow": "parquet", "huggingface_hub": "hub",
             "tokenizers": "tokenizers", "jax": "plan", "starlette": "serve",
             "uvicorn": "serve", "prometheus_client": "serve"}.get(module, "")
    assert names & asked[extra], (module, names, files)


# tensorflow_datasets 4.9 imports a library that it asks for on old Pythons
# alone; others come with what tests need, and not in a fresh environment.
_FRESH = """
import importlib, importlib.abc, sys

allowed = set({allowed!r})
known = {known!r}

class OnlyRequirements(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path=None, target=None):
    if name in known and not allowed & set(known[name]):
      raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, OnlyRequirements())
for module in {modules!r}:
  importlib.import_module(module)
from tf_adapters.data.loading import load_task
task = load_task("rte")
train = task.split("train")
print(len(task.split("validation")), task.split("test").labels)
print(train.first[4], train.second[0], train.labels.tolist())
print(all(name in path.name and path.is_file()
          for name, paths in task.files.items() for path in paths))
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """A TFDS_DATA_DIR with RTE in it, by tensorflow_datasets' own writer."""
  import tensorflow_datasets as tfds
  folder = tmp_path_factory.mktemp("tfds")
  features = tfds.builder("glue/rte", data_dir=folder).info.features

  def rows(count, label):
    return [(row, {"sentence1": f"one {row}", "sentence2": f"two {row}",
                   "label": label if label < 0 else row % 2, "idx": row})
            for row in range(count)]

  tfds.dataset_builders.store_as_tfds_dataset(
      name="glue", config="rte", version="2.0.0", data_dir=folder,
      features=features, split_datasets={
          "train": rows(5, 0), "validation": rows(3, 0), "test": rows(2, -1)})
  return folder


def test_a_fresh_environment_has_what_is_imported_late(prepared):
  modules = [str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
             for path in SOURCES]
  modules = [name.removesuffix(".__init__") for name in modules
             if "ray_" not in name and "serving.server" not in name
             and not name.endswith("__main__")]
  late = {name for path in SOURCES for function in ast.walk(
      ast.parse(path.read_text())) if isinstance(function, ast.FunctionDef)
          for name in names_imported(function)
          if "ray" not in name and "serving.server" not in name
          and name.partition(".")[0] not in (
              "huggingface_hub", "jax", "tokenizers")}
  assert "tensorflow_datasets" in late
  known = {name: [normal(one) for one in ones] for name, ones in
           importlib.metadata.packages_distributions().items()
           if name not in ("tf_adapters", "google")}
  result = subprocess.run(
      [sys.executable, "-c", textwrap.dedent(_FRESH.format(
          allowed=sorted(closure(requirements()[""])), known=known,
          modules=sorted({*modules, *late})))],
      capture_output=True, text=True, cwd=ROOT, check=False, env={
          **os.environ, "TFDS_DATA_DIR": str(prepared)})
  assert result.returncode == 0, result.stderr[-2000:]
  assert result.stdout.splitlines()[-3:] == [
      "3 None", "one 4 two 0 [0, 1, 0, 1, 0]", "True"]


@pytest.mark.parametrize("error", [
    ModuleNotFoundError("No module named 'importlib_resources'"),
    ValueError("checksum\nof many lines"), OSError()])
def test_what_goes_wrong_in_a_download_is_one_line(
    monkeypatch, error):
  import tensorflow_datasets as tfds

  def fail(*arguments, **keywords):
    raise error

  monkeypatch.setattr(tfds, "builder", fail)
  with pytest.raises(InputError, match="task rte: .*give --data_dir") as caught:
    load_task("rte")
  assert "\n" not in str(caught.value)


def test_scripts_beside_a_clone_find_the_package(tmp_path):
  """A clone is a folder of the package's name, but not the package."""
  (tmp_path / "tf_adapters").mkdir()
  done = subprocess.run(
      [sys.executable, "-c", "import tf_adapters; print(tf_adapters.__file__)"],
      cwd=tmp_path, capture_output=True, text=True, check=False,
      env={name: value for name, value in os.environ.items()
           if name != "PYTHONPATH"})
  assert done.returncode == 0, done.stderr
  assert pathlib.Path(done.stdout.strip()).name == "__init__.py"
