"""The project's own files say what is true of it."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

import tf_adapters as ta
from tests.conftest import FIRST

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ["run_glue.py", *(
    str(path.relative_to(ROOT))
    for folder in ("tf_adapters", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py"))]

# Part -> the parts that it may import. Imports only go down.
LAYERS = {
    "switches": set(),
    "errors": {"switches"},
    "notices": set(),
    "progress": {"errors"},
    "files": {"errors"},
    "modeling": {"errors", "switches"},
    "checkpoints": {"errors", "notices", "files", "modeling"},
    "data": {"errors", "files", "progress", "modeling"},
    "problems": {"errors", "modeling", "data"},
    "adapter_files": {"errors", "files", "modeling", "checkpoints", "problems"},
    "training": {"errors", "files", "progress", "modeling", "checkpoints",
                 "data", "problems", "adapter_files"},
    "tasks": {"errors", "modeling", "checkpoints", "data", "problems",
              "adapter_files", "training"},
    "serving": {"errors", "files", "progress", "modeling", "checkpoints",
                "data", "problems", "adapter_files"},
    "experiments": {"errors", "files", "progress", "modeling", "data",
                    "problems", "adapter_files", "training"},
    "tools": {"errors", "notices", "files", "modeling", "checkpoints", "data",
              "problems", "adapter_files", "training", "tasks", "serving",
              "experiments"},
}


def build_targets():
  """BUILD's Python targets: name -> (files, dependencies)."""
  targets = {}

  def rule(name, srcs, deps=(), **_):
    assert name not in targets
    targets[name] = set(srcs), {dep.removeprefix(":") for dep in deps}

  def glob(include, exclude=()):
    found, left_out = (
        {str(path.relative_to(ROOT)) for pattern in patterns
         for path in ROOT.glob(pattern) if path.is_file()}
        for patterns in (include, exclude))
    return sorted(found - left_out)

  # Starlark is Python, as far as BUILD goes.
  exec((ROOT / "BUILD").read_text(), dict(
      dict.fromkeys(("py_library", "py_binary", "py_test"), rule), glob=glob,
      package=lambda **_: None, licenses=lambda _: None,
      filegroup=lambda **_: None))
  return targets


def file_of(module):
  """The project's file of a module; None for others' modules."""
  path = module.replace(".", "/")
  for file in (f"{path}.py", f"{path}/__init__.py", f"benchmarks/{path}.py"):
    if (ROOT / file).exists():
      return file
  return None


def imports(path, inside=True):
  """Modules that a file imports: inside functions too, or only at once."""
  tree = ast.parse((ROOT / path).read_text())
  for node in ast.walk(tree) if inside else tree.body:
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      for alias in node.names:
        name = f"{node.module}.{alias.name}"
        yield name if file_of(name) else node.module


def test_build_has_every_file_and_the_dependencies_that_it_imports():
  targets = build_targets()
  owners = {file: name for name, (files, _) in targets.items()
            for file in files} | {"tests/run_tests.py": "testing"}
  assert set(SOURCES) <= set(owners), "in no target of BUILD"
  for name, (files, dependencies) in targets.items():
    modules = {module for file in files for module in imports(file)}
    if name == "tf_adapters":  # which imports by name
      modules |= {f"tf_adapters.{module}" for module in ta._MODULES.values()}
    expected = {owners[file_of(module)] for module in modules
                if file_of(module)} - {name}
    if name.endswith("_tests"):
      expected.add("testing")  # conftest.py, which pytest finds
    assert dependencies == expected, (
        f"BUILD: {name} has to depend on {sorted(expected)}")


@pytest.mark.parametrize("path", [
    path for path in SOURCES if path.startswith("tf_adapters/")
    and path not in ("tf_adapters/__init__.py", "tf_adapters/__main__.py")])
def test_imports_only_go_down(path):
  part = path.split("/")[1].removesuffix(".py")
  for module in imports(path):
    if module.startswith("tf_adapters."):
      imported = module.split(".")[1]
      assert imported == part or imported in LAYERS[part], module
    if module.startswith("absl"):
      assert part == "tools", module


def test_modules_are_short():
  for path in SOURCES:
    if path.startswith("tf_adapters/"):
      lines = len((ROOT / path).read_text().splitlines())
      assert lines <= 400, f"{path} has {lines}: more subjects than one?"


def test_command_lines_are_checked_without_tensorflow():
  """It takes seconds to import; tests/tools/test_start_up.py tries it out."""
  tools = (ROOT / "tf_adapters" / "tools").glob("*.py")
  left = [(f"tf_adapters.tools.{path.stem}",) for path in tools
          if path.stem != "__init__"]
  seen = set()
  while left:
    *way, module = left.pop()
    assert module.split(".")[0] not in (
        "tensorflow", "tf_keras", "tensorflow_text", "official", "matplotlib",
        "scipy", "sklearn", "ray"), way
    if module.startswith("tf_adapters") and module not in seen:
      seen.add(module)
      left += [(*way, module, other)
               for other in imports(file_of(module), inside=False)]
  assert len(seen) > 50


def test_type_checkers_see_the_public_names():
  tree = ast.parse((ROOT / "tf_adapters/__init__.py").read_text())
  block, = (node for node in tree.body if isinstance(node, ast.If)
            and getattr(node.test, "id", "") == "TYPE_CHECKING")
  seen = {alias.asname: node.module for node in block.body
          if isinstance(node, ast.ImportFrom) for alias in node.names
          if alias.name == alias.asname}
  assert seen == {name: f"tf_adapters.{module}"
                  for name, module in ta._MODULES.items()}
  assert re.fullmatch(r"\d+\.\d+\.\d+", ta.__version__)


def test_changelog_begins_with_the_version():
  version, = re.findall(
      r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), re.M)
  heading = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
  assert heading[1].split()[0] == version


def test_files_of_tests_that_come_first_exist():
  assert [name for name in FIRST if not (
      ROOT / "tests" / name).is_file()] == []


def test_readme_and_ci_run_the_same_tests():
  ci = (ROOT / ".ci" / "run").read_text()
  readme = (ROOT / "README.md").read_text()
  for command in ("pip install", "python -m pytest"):
    line = next(line for line in ci.splitlines() if line.startswith(command))
    assert line.replace(" --quiet", "") in readme


def test_pages_on_the_command_line_are_made_of_the_flags():
  # In a process of its own: texts depend on what is imported first.
  subprocess.run(
      [sys.executable, "docs/scripts/command_line.py", "--check"], cwd=ROOT,
      check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_documents_name_every_flag_file_and_task():
  paper, tasks = ((ROOT / "docs" / name).read_text()
                  for name in ("guides/paper.md", "reference/tasks.md"))
  for path in (ROOT / "flags").rglob("*.flags"):
    assert path.stem in (tasks if path.parent.name in (
        "glue", "text_classification") else paper)


def test_reference_has_every_public_name():
  reference = "".join(
      path.read_text() for path in (ROOT / "docs/reference/api").glob("*.md"))
  assert sorted(re.findall(r"^::: tf_adapters\.(\w+)$", reference, re.M)
                ) == sorted(ta.__all__)


def test_docstrings_begin_with_a_noun_or_a_verb():
  """As "A bank of tasks" or "Reads a file"; "What is read" is a riddle."""
  pattern = re.compile(r'^ *"""(?:What|Which|How)\b.*', re.M)
  assert not [(path, line) for path in SOURCES
              for line in pattern.findall((ROOT / path).read_text())]


def test_docstrings_of_functions_begin_with_a_verb():
  """As "Reads a file"; of properties they say what these are."""
  pattern = re.compile(r"[A-Z][a-z]*s\b|See ")
  for path in SOURCES:
    if not path.startswith("tf_adapters/"):
      continue
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
          "property" in ast.unparse(name) for name in node.decorator_list):
        text = ast.get_docstring(node)
        assert text is None or pattern.match(text), (path, node.name, text)


def test_nothing_large_is_tracked():
  try:
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True,
        check=True).stdout.split("\0")
  except (OSError, subprocess.CalledProcessError):
    pytest.skip("not a git checkout")
  for name in filter(None, files):
    path = ROOT / name
    assert not path.exists() or path.stat().st_size <= 1_000_000, name
