"""Documents: their size, sentences and links, and the code that they show."""

import ast
import importlib
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from absl import flags

import tf_adapters as ta
from tests import glue_files
from tests.adapters import edit, make
from tf_adapters.training import defaults

pd = pytest.importorskip("pandas")

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text() for path in (
        *sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")))}
OWN_DATA = "docs/guides/own_data.md"
MOST_LINES, MOST_WORDS = 400, 30

_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_PYTHON = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?```python\n(?P<code>.*?)^```$",
    re.M | re.S)
_NO_LIST = re.compile(r"^(?!#|[-*] |\d+\. | ).+\n(?:- |\d+\. ).+", re.M)
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def sentences(text):
  """Splits a page into sentences, and cells of tables."""
  text = re.sub(r"<!--.*?-->", "", _FENCE.sub("\n", text), flags=re.S)
  text = re.sub(r"`[^`]+`", "code", text)
  text = re.sub(r"(code, )+code", "code", text)  # a list of names
  text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
  for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.) ?)", text):
    for cell in block.replace("\\|", "/").split("|"):
      yield from re.split(r"(?<=[.!?])\s+", " ".join(cell.split()))


def anchors(text):
  """Those of a page's headings, as GitHub and mkdocs make them."""
  titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.M)
  return {re.sub(r"[^\w\- ]", "", re.sub(
      r"\[([^\]]*)\]\([^)]*\)", r"\1", title)).lower().replace(" ", "-")
          for title in titles}


def blocks(page, run=True):
  """A page's Python code: that which runs, or all of it."""
  return [block["code"] for block in _PYTHON.finditer(PAGES[page])
          if not (run and block["why"])]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short_and_its_links_lead_somewhere(page):
  text, folder = PAGES[page], (ROOT / page).parent
  assert text.count("\n") <= MOST_LINES
  # MkDocs takes a list without an empty line in front for its paragraph.
  assert not _NO_LIST.findall(_FENCE.sub("", text))
  for target, anchor in _LINK.findall(_FENCE.sub("", text)):
    if ":" in target:
      continue
    path = (folder / target).resolve() if target else ROOT / page
    assert path.exists(), target
    if anchor:
      there = PAGES[str(path.relative_to(ROOT))]
      assert anchor[1:] in anchors(there), (target, anchor)


@pytest.mark.parametrize("page", PAGES)
def test_sentences_are_short(page):
  long = [sentence for sentence in sentences(PAGES[page]) if sum(
      any(map(str.isalnum, word)) for word in sentence.split()) > MOST_WORDS]
  assert not long


def commands(text):
  """(tool, its arguments) of a page's shell code."""
  for block in re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S):
    block = block.replace("\\\n", " ").replace(
        "python run_glue.py", "tf-adapters glue")
    for call in re.findall(r"(?<!\w)tf-adapters (\w[^|&\n]*)", block):
      tool, *arguments = shlex.split(call, comments=True)
      yield tool, arguments


@pytest.mark.parametrize("page", [
    page for page in PAGES if list(commands(PAGES[page]))])
def test_shell_code_has_flags_that_exist(page):
  for tool, arguments in commands(PAGES[page]):
    # A sweep takes the flags of its trials.
    known = {
        flag.name: flag
        for name in ([tool, "train", "glue", "squad"] if tool == "sweep"
                     else [tool])
        for flag in flags.FLAGS.get_key_flags_for_module(
            importlib.import_module(f"tf_adapters.tools.{name}"))}
    for argument in arguments:
      name, equals, value = argument.removeprefix("--").partition("=")
      if name == "flagfile":
        assert not value.startswith("flags/") or (ROOT / value).exists()
      elif equals:
        known[name].parser.parse(value)
      elif name != "help":
        assert known[name.removeprefix("no") if (
            name not in known) else name].boolean, (tool, argument)


@pytest.mark.parametrize("page", [
    page for page in PAGES if blocks(page, run=False)])
def test_python_code_is_python(page):
  for code in blocks(page, run=False):
    ast.parse(code)


@pytest.fixture(scope="module")
def files(tmp_path_factory, one_layer_source):
  """A folder with what the pages read."""
  folder = tmp_path_factory.mktemp("documents")
  rows = [f"the film {number} is {word}," + team for number in range(10)
          for word, team in (("good", "sales"), ("bad", "billing"))]
  (folder / "tickets.csv").write_text(
      "\n".join(["ticket_text,team", *rows]) + "\n")
  name, contents = glue_files.FILES["mrpc"]
  (folder / "glue_data" / name).mkdir(parents=True)
  for file, content in contents.items():
    (folder / "glue_data" / name / file).write_text(content)
  mrpc = make(one_layer_source, folder / "adapters" / "mrpc",
              ta.LoraConfig(rank=2), "classification",
              ("not_equivalent", "equivalent"), "mean", "adapters", 24, True)
  for other in ("adapters/sst2", "adapters/cola", "runs/mrpc0/adapter",
                "runs/mrpc1/adapter"):
    shutil.copytree(mrpc, folder / other)
  edit(mrpc, task="mrpc")
  for task in ("sst2", "cola"):
    edit(folder / "adapters" / task, task=task, pairs=False)
  return folder


@pytest.fixture
def run(files, tmp_path, monkeypatch, one_layer_source):
  """Runs code in a copy of that folder, on a tiny encoder; returns names."""
  shutil.copytree(files, tmp_path, dirs_exist_ok=True)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(defaults, "_ENOUGH_STEPS", 3)
  source = repr(str(one_layer_source))

  def run(codes, **names):
    for code in codes:
      code = re.sub(r'"(minilm_l6|bert_base_uncased)"', source, code)
      code = re.sub(r"(max_length=|text_processor\()\d+", r"\g<1>24", code)
      exec(compile(code, "document", "exec"), names)
    return names

  return run


def test_from_a_data_frame_to_predictions(run, eagerly):
  names = run(blocks("README.md"))
  assert set(names["df"].predicted) <= {"sales", "billing"}
  loaded = ta.TextTask.load("adapters/tickets")
  assert loaded.predict(names["df"].ticket_text[:3]).tolist() == list(
      names["df"].predicted[:3])


def test_each_source_of_data(run):
  calls = [call for call in re.findall(
      r"`(ta\.Dataset\.from_\w+\(.*?\))` \|", PAGES[OWN_DATA])
           if "[...]" not in call]
  assert len(calls) == 6
  df = pd.DataFrame({"text": list("abcdefghij"), "label": ["x", "y"] * 5})
  texts, labels = list(df.text), list(df.label)
  for call in calls:
    data = run([f"data = {call}"], ta=ta, df=df, a=df, b=df, c=df, texts=texts,
               labels=labels, dataset=tf.data.Dataset.from_tensor_slices(
                   (texts, labels)))["data"]
    assert len(data.labels) == 2


def test_evaluation(run, eagerly):
  several = ta.Dataset.from_lists(
      ["a b", "b c", "c a"] * 4, [["a", "b"], ["b", "c"], ["a"]] * 4,
      validation=0.25, seed=0)
  first, thresholds, average = blocks("docs/guides/evaluate.md")
  names = run([blocks(OWN_DATA)[0], first])
  assert len(names["evaluation"].mistakes(20)) <= 20
  names = run(['task = ta.TextTask("minilm_l6", several)', thresholds, average],
              ta=ta, several=several)
  assert set(names["task"].thresholds) == {"a", "b", "c"}
  assert ta.load_adapter("adapters/mrpc").encoder.method.rank == 4


# Pages that are run in this order, with the names that they take as given.
@pytest.mark.slow
@pytest.mark.parametrize("pages", [
    ["own_data"], ["keras"], ["recipes"], ["methods"],
    ["many_tasks", "serving"], ["paper"], ["text"]], ids=" ".join)
def test_what_others_show(pages, run, eagerly, one_layer_source):
  encoder = ta.load_encoder(one_layer_source)
  names = {
      "ta": ta, "tf": tf, "tf_keras": tf_keras, "np": np, "encoder": encoder,
      "text": encoder.text_processor(24)}
  names["task"] = run(
      ['task = ta.load_task("mrpc", data_dir="glue_data")'], ta=ta)["task"]
  for page in pages:
    folder = "reference" if page == "text" else "guides"
    names = run(blocks(f"docs/{folder}/{page}.md"), **names)


def test_all_code_that_can_run_is_run():
  run = {page for page in PAGES if blocks(page)}
  assert run == {"README.md", "docs/reference/text.md", *(
      f"docs/guides/{name}.md" for name in (
          "own_data", "evaluate", "keras", "recipes", "methods", "many_tasks",
          "serving", "paper"))}
