"""Reports on made-up sweeps: numbers worked out by hand, valid files."""

import csv
import dataclasses
import html.parser
import io
import json
import pathlib
import re
import statistics
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

import tf_adapters as ta
from tests.experiments.made_up import BASE, MadeUp, write_sweep
from tests.tools import calling
from tf_adapters.errors import InputError
from tf_adapters.experiments import curves
from tf_adapters.experiments.paper_figures import TABLE_1, TABLE_2
from tf_adapters.experiments.records import Record
from tf_adapters.experiments.report import make_report, write_report
from tf_adapters.experiments.stopped import Stopped, remember_stopped
from tf_adapters.experiments.sweep_folder import PastTrial
from tf_adapters.tools import report as tool

METRICS = {"cola": "matthews_correlation", "mrpc": "f1", "rte": "accuracy"}

# Method, settings, trained parameters, validation score, test scores of two
# seeds for cola, mrpc and rte. Who looks at test scores takes the 0.99.
GRID = (
    ("full", {"tuning": "full", "learning_rate": "3e-05"}, 1010, 0.90,
     ((0.60, 0.62), (0.90, 0.90), (0.70, 0.72))),
    ("full", {"tuning": "full", "learning_rate": "0.0001"}, 1010, 0.80,
     ((0.99, 0.99), (0.99, 0.99), (0.99, 0.99))),
    ("adapters", {"adapter_size": "8", "learning_rate": "0.001"}, 20, 0.85,
     ((0.58, 0.60), (0.89, 0.89), (0.71, 0.73))),
    ("adapters", {"adapter_size": "8", "learning_rate": "0.003"}, 20, 0.50,
     ((0.99, 0.99), (0.99, 0.99), (0.99, 0.99))),
    ("adapters", {"adapter_size": "64", "learning_rate": "0.001"}, 100, 0.86,
     ((0.60, 0.60), (0.90, 0.90), (0.69, 0.69))),
    ("norms", {"tuning": "layer_norm"}, 5, 0.70,
     ((0.50, 0.50), (0.80, 0.80), (0.60, 0.60))),
)


def grid(seeds=(0, 1), tasks=tuple(METRICS), missing=()):
  """The trials of `GRID`; those of missing (task, method, seed) unfinished."""
  for method, values, trained, validation, scores in GRID:
    for task, test in zip(METRICS, scores):
      for seed in seeds:
        if task in tasks:
          metrics = {"validation": {METRICS[task]: validation},
                     "test": {METRICS[task]: test[seed]}}
          gone = (task, method, seed) in missing
          yield MadeUp(task, method, seed, values, None if gone else metrics,
                       trained)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
  return write_sweep(tmp_path_factory.mktemp("sweep") / "glue", grid(),
                     {"encoder": "minilm_l6", "holdout": "0.1"})


@pytest.fixture(scope="module")
def report(sweep, tmp_path_factory):
  """A report's folder."""
  folder = tmp_path_factory.mktemp("report") / "report"
  write_report(make_report([sweep]), folder)
  return folder


def rows(path):
  return list(csv.DictReader(io.StringIO(path.read_text())))


def table(made, name):
  found, = [one for one in made.tables if one.name == name]
  return [dict(zip(found.header, row)) for row in found.rows]


def test_table_1_has_our_rows_above_the_papers(sweep, report):
  made = make_report([sweep])
  full, adapters, norms, *paper = table(made, "table1")
  assert list(full)[5:] == ["CoLA", "MRPC", "RTE", "mean"]
  assert full == {
      "method": "full", "seeds": "2", "total params": "3.03x",
      "measured on": "minilm_l6, published validation split (holdout 0.1)",
      "trained / task": "101 %", "CoLA": "61.0 ± 1.0", "MRPC": "90.0 ± 0.0",
      "RTE": "71.0 ± 1.0", "mean": "74.0"}
  assert (adapters["CoLA"], adapters["mean"]) == ("60.0 ± 0.0", "73.0")
  assert (adapters["total params"], adapters["trained / task"]) == (
      "1.30x", "10 %")
  assert norms["total params"] == "1.01x"
  assert {row["measured on"] for row in paper} == {
      "paper, BERT-large, GLUE test server"}
  assert [row["mean"] for row in paper] == ["73.3", "73.5", "71.8"]
  assert paper[0]["CoLA"] == "60.5"
  numbers = rows(report / "tables" / "table1.csv")
  assert float(numbers[0]["CoLA"]) == pytest.approx(61)
  assert float(numbers[0]["CoLA sem"]) == pytest.approx(1)
  assert numbers[0]["CoLA n"] == "2"
  assert float(numbers[0]["total_parameters"]) == pytest.approx(3.03)
  assert numbers[-1]["measured_on"].startswith("paper")


def test_figure_3_has_percentiles_over_tasks(report):
  points = {(row["curve"], row["point"]): row
            for row in rows(report / "figures" / "figure3.csv")}
  # Differences of size 8 are -2, -1 and 1; of size 64 -1, 0 and -2; of the
  # layer norms -11, -10 and -11.
  for point, expected in ((("adapters", "8"), (-1.6, -1, 0.2)),
                          (("adapters", "64"), (-1.6, -1, -0.4)),
                          (("layer norms", ""), (-11, -11, -10.4))):
    row = points.pop(point)
    percentiles = [float(row[f"percentile_{percent}"])
                   for percent in (20, 50, 80)]
    assert percentiles == pytest.approx(expected)
    assert row["tasks"] == "cola mrpc rte"
  assert not points


def test_figure_4_has_what_validation_selects(report):
  points = {(row["task"], row["curve"], row["point"]): row
            for row in rows(report / "figures" / "figure4.csv")}
  assert len(points) == 3 * 4
  row = points["cola", "adapters", "8"]
  assert float(row["score"]) == pytest.approx(59)
  assert float(row["sem"]) == pytest.approx(1)
  assert (row["trained_parameters"], row["seeds"], row["split"]) == (
      "20", "2", "test")
  assert row["setting"] == "adapter_size=8-learning_rate=0.001"
  assert float(points["rte", "full fine-tuning", ""]["score"]) == (
      pytest.approx(71))


def test_figure_7_has_the_best_of_each_learning_rate(report):
  points = {(row["task"], row["curve"], row["point"]): float(row["score"])
            for row in rows(report / "figures" / "figure7.csv")}
  assert points["cola", "full fine-tuning", "3e-05"] == pytest.approx(61)
  assert points["cola", "full fine-tuning", "0.0001"] == pytest.approx(99)
  # Size 64 is better by validation, size 8 by its test scores.
  assert points["rte", "adapters", "0.001"] == pytest.approx(69)
  assert not [curve for _, curve, _ in points if curve == "layer norms"]


def test_what_is_missing_is_said(report):
  text = (report / "report.md").read_text()
  assert "Figure 5: trained parameters, SQuAD: no SQuAD task with" in text
  assert ("Figure 6, right: initial weights: no task with two finished values "
          "of adapter") in text
  assert "36 of 36 trials are finished, which took 0:54:00" in text


def test_figure_6_has_initial_weights(tmp_path):
  trials = [MadeUp("cola", "adapters", 0,
                   {"adapter_init_scale": scale, "adapter_size": size},
                   {"validation": {"accuracy": score},
                    "test": {"accuracy": score / 2}})
            for scale, size, score in (
                ("0.01", "64", 0.8), ("0.01", "8", 0.7), ("0.1", "64", 0.4),
                ("0.1", "8", 0.5), ("0.0", "8", 0.9))]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  figure, = [one for one in made.pictures if one.name == "figure6"]
  points = list(csv.DictReader(io.StringIO(figure.csv)))
  assert [(row["point"], row["score"], row["sem"]) for row in points] == [
      ("0.01", "40.0", ""), ("0.1", "25.0", "")]


def test_files_are_valid_and_small(report):
  names = {path.stem for path in (report / "figures").iterdir()}
  assert names == {"distance", "figure3", "figure4", "figure7"}
  for name in names:
    png = report / "figures" / f"{name}.png"
    assert png.stat().st_size < 200_000
    with Image.open(png) as image:
      image.load()
      assert image.width in (715, 1485)  # 3.25 and 6.75 inches
      assert len(image.convert("L").getcolors(1 << 20)) > 10
    pdf = (report / "figures" / f"{name}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    assert b"CreationDate" not in pdf
  assert len(rows(report / "results.csv")) == 36
  row = rows(report / "results.csv")[0]
  assert row["encoder"] == "minilm_l6" and row["sweep"].endswith("glue")


class Resources(html.parser.HTMLParser):
  """Collects what a page would load, and the tags that it opens."""

  def __init__(self):
    super().__init__()
    self.sources, self.tags, self.open = [], set(), []

  def handle_starttag(self, tag, attributes):
    self.tags.add(tag)
    self.sources += [value for name, value in attributes
                     if name in ("src", "href", "data", "srcset")]
    if tag not in ("meta", "img"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def test_html_is_one_file(report):
  text = (report / "report.html").read_text()
  page = Resources()
  page.feed(text)
  assert not page.open
  assert len(page.sources) == 4
  assert all(source.startswith("data:image/png;base64,")
             for source in page.sources)
  assert not page.tags & {"script", "link", "iframe", "object"}
  assert "url(" not in text and "@import" not in text
  assert '<tr class="paper">' in text and 'name="viewport"' in text


def test_markdown_links_lead_somewhere(report):
  targets = re.findall(r"\]\(([^)]+)\)", (report / "report.md").read_text())
  assert len(targets) == 12
  assert all((report / target).exists() for target in targets)


def test_a_report_written_twice_is_the_same_bytes(sweep, report, tmp_path):
  def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}

  other = tmp_path / "other"
  made = make_report([sweep])
  write_report(made, other)
  assert files(other) == files(report)
  # What a newer report has not is gone with the older one.
  (other / "figures" / "figure9.png").touch()
  write_report(made, other)
  assert files(other) == files(report)


def test_an_unfinished_sweep(tmp_path):
  trials = list(grid(missing={
      ("cola", "adapters", 1), ("rte", "norms", 0), ("rte", "norms", 1)}))
  trials.append(MadeUp("rte", "full", 0, {"learning_rate": "9"}, None,
                       error="the loss is not finite"))
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  assert "31 of 37 trials are finished" in made.summary
  assert "6 are missing, 1 of which failed" in made.summary
  full, adapters, norms, *paper = table(made, "table1")
  assert (adapters["CoLA"], adapters["RTE"]) == ("-", "69.0 ± 0.0")
  assert (norms["RTE"], norms["CoLA"]) == ("-", "50.0 ± 0.0")
  assert adapters["total params"] == norms["total params"] == "-"
  # MRPC is what every method has.
  assert [row["mean"] for row in (full, adapters, norms, paper[0])] == [
      "90.0", "90.0", "80.0", "89.3"]
  table1, = (one for one in made.tables if one.name == "table1")
  assert "The mean is over MRPC, in" in " ".join(table1.notes)
  # The same, method by method: what is not whole is marked.
  methods, = (one for one in made.tables if one.name == "methods")
  cells = {row[0]: row[3:] for row in methods.rows}
  assert methods.header[3:] == ("CoLA", "MRPC", "RTE", "mean of 1")
  assert cells["adapters"] == ("-", "90.0 ± 0.0", "69.0 ± 0.0", "90.0")
  assert cells["full"][2] == "71.0 ± 1.0*"
  assert methods.notes[1:] == (
      "Not yet the whole: complete: MRPC; in part: CoLA, RTE.",
      "* settings or seeds are missing, or failed.", "The mean is over MRPC.")
  assert ["rte/learning_rate=9/seed=0: the loss is not finite"] in made.blocks


def test_nothing_is_finished(tmp_path):
  missing = {(task, method, seed) for task in METRICS for seed in (0, 1)
             for method in ("full", "adapters", "norms")}
  made = make_report([write_sweep(tmp_path / "s", grid(missing=missing))])
  assert not made.pictures and len(made.left_out) == 5
  write_report(made, tmp_path / "report")


def test_sweeps_are_joined(sweep, tmp_path):
  halves = [write_sweep(tmp_path / f"seed{seed}", grid(seeds=[seed]),
                        {"encoder": "minilm_l6", "holdout": "0.1",
                         "eval_batch_size": str(seed)})
            for seed in (0, 1)]
  whole = table(make_report([sweep]), "table1")
  assert table(make_report(halves), "table1") == whole
  # Once more what is there, and what one of them has not finished.
  missing = {("cola", "adapters", 0)}
  again = write_sweep(tmp_path / "again", grid(seeds=[0], missing=missing),
                      {"encoder": "minilm_l6", "holdout": "0.1"})
  for folders in ([again, *halves], [*halves, again], [*halves, *halves]):
    made = make_report(folders)
    assert made.summary.startswith("36 of 36")
    assert table(made, "table1") == whole


@pytest.mark.parametrize("seeds", [[0, 1], [1]])
def test_the_same_setting_with_other_flags_is_a_conflict(
    sweep, tmp_path, seeds):
  scores = {"validation": {"f1": 1.0}}
  other = write_sweep(
      tmp_path / "other", [MadeUp("mrpc", "norms", seed, GRID[-1][1], scores)
                           for seed in seeds], {"encoder": "bert_base"})
  with pytest.raises(InputError, match=re.escape(
      f"{sweep} and {other}: mrpc/tuning=layer_norm was run with "
      "encoder=minilm_l6 and with encoder=bert_base")):
    make_report([sweep, other])


@pytest.mark.parametrize("flag, value, message", [
    ("holdout", "0", "holdout=0.1 and with holdout=0:"),
    ("data_dir", "x", "data_dir=its default and with data_dir=x:")])
def test_scores_of_other_data_are_a_conflict(tmp_path, flag, value, message):
  folders = [
      write_sweep(tmp_path / rate, [
          MadeUp("rte", "adapters", 0, {"learning_rate": rate},
                 {"validation": {"accuracy": 0.5}})], flags)
      for rate, flags in (("1", {"holdout": "0.1"}),
                          ("2", {"holdout": "0.1", flag: value}))]
  with pytest.raises(InputError, match=re.escape(
      f"{folders[1]}: rte was run with {message} report on them apart")):
    make_report(folders)


@pytest.mark.parametrize("order", [1, -1])
def test_means_of_other_seeds_do_not_compare(tmp_path, order):
  def trials(*scores):
    return [MadeUp("rte", "adapters", seed, {"learning_rate": rate},
                   {"validation": {"accuracy": score}})
            for rate, seed, score in scores]

  folders = [
      write_sweep(tmp_path / "a", trials(("1", 0, 0.7), ("2", 0, 0.6))),
      write_sweep(tmp_path / "b", trials(("2", 1, 0.6), ("2", 2, 0.6)))]
  row, = table(make_report(folders[::order]), "selected")
  assert (row["setting"], row["seeds"], row["settings compared"],
          row["incomplete"]) == ("learning_rate=2", "3", "1", "1")


def test_a_sweep_that_a_newer_version_went_on_with_can_be_told(tmp_path):
  trials = [MadeUp("rte", "adapters", seed, {"adapter_size": "8"},
                   {"validation": {"accuracy": 0.5}},
                   flags={"tune_embedding": "false"} if seed else {})
            for seed in (0, 1)]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  assert table(made, "table1")[0]["seeds"] == "2"


def test_encoders_stand_apart(tmp_path):
  folders = [
      write_sweep(tmp_path / encoder.replace("/", "_"), [
          MadeUp(task, "adapters", 0,
                 {"adapter_size": size, "learning_rate": rate},
                 {"validation": {METRICS[task]: score}}, trained)
          for task in ("cola", "rte")
          for size, trained in (("4", 4), ("8", 8))], {"encoder": encoder})
      for encoder, rate, score in (("models/tiny", "1", 0.5),
                                   ("minilm_l6", "2", 0.75))]
  made = make_report(folders)
  assert [(row["measured on"], row["RTE"])
          for row in table(made, "table1")[:2]] == [
      ("minilm_l6, validation split, which also selected", "75.0"),
      ("tiny, validation split, which also selected", "50.0")]
  assert [one.name for one in made.pictures] == [
      "figure4-minilm_l6", "figure4-tiny"]


def test_mnli_has_two_columns_and_is_one_task(tmp_path):
  scores = {"validation": {"accuracy": 0.9}, "test": {"accuracy": 0.8},
            "test_mismatched": {"accuracy": 0.7}}
  trials = [MadeUp("mnli", "full", 0, {"tuning": "full"}, scores, BASE)]
  row, *_ = table(make_report([write_sweep(tmp_path / "s", trials)]), "table1")
  assert (row["MNLI-m"], row["MNLI-mm"], row["mean"], row["total params"]) == (
      "80.0", "70.0", "75.0", "1.00x")


def test_what_tasks_share_is_counted_once(tmp_path):
  trials = [MadeUp(task, "top", 0, {"tuning": f"top_layers:{layers}"},
                   {"validation": {METRICS[task]: 0.5}}, 100 * layers)
            for task, layers in (("cola", 2), ("rte", 7))]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  row, *_ = table(made, "table1")
  # Eight tenths, which one of the tasks leaves as they are, two and seven.
  assert (row["total params"], row["trained / task"]) == ("1.70x", "45 %")


def test_without_bert_nothing_is_counted_in_encoders(tmp_path):
  scores = {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.4}}
  trials = [
      MadeUp(task, method, 0, values, scores)
      for task in ("airline", "demo")
      for method, values in (
          ("adapters", {"adapter_size": "8"}),
          ("words", {"tuning": "no_bert", "text_embedding": "nnlm-dim128"}))]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  bert, words, *_ = table(made, "table2")
  assert bert["measured on"] == "bert_base_uncased, test split"
  assert (words["measured on"], words["airline"]) == (
      "no BERT, embedding nnlm-dim128, test split", "40.0")
  assert words["total params"] == words["trained / task"] == "-"
  assert [row["trained / task"] for row in table(made, "task-demo")] == [
      "10 %", "-"]
  assert not made.pictures


def test_without_bert_trials_of_a_setting_belong_together(tmp_path):
  def trial(rate, seed, score, error=None):
    scores = score and {"validation": {"accuracy": score}}
    return MadeUp("airline", "words", seed, {
        "tuning": "no_bert", "text_embedding": "nnlm", "learning_rate": rate},
        scores, error=error)

  trials = [trial("0.1", 0, 0.9), trial("0.1", 1, None, "the loss is not"),
            trial("0.01", 0, 0.8), trial("0.01", 1, 0.8)]
  folder = write_sweep(tmp_path / "sweep", trials, {"encoder": "minilm_l6"})
  for path in pathlib.Path(folder).rglob("flags.flags"):
    path.write_text(path.read_text().replace("--encoder=minilm_l6\n", ""))
  words, *papers = table(make_report([folder]), "table2")
  assert (words["airline"], words["seeds"]) == ("80.0 ± 0.0*", "2")
  assert all("paper" in row["measured on"] for row in papers)


def test_a_task_that_is_only_called_so_is_not_the_papers(tmp_path):
  trials = [MadeUp(task, "adapters", 0, {"adapter_size": size},
                   {"validation": {"accuracy": 0.5}}, trained, kind=kind)
            for size, trained in (("4", 4), ("8", 8))
            for task, kind in (("rte", "tsv"), ("cola", None))]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  titles = {one.name: [ax.get_title() for ax in one.figure.axes]
            for one in made.pictures}
  assert titles == {"figure4-GLUE": ["CoLA"], "figure4-other_tasks": ["rte"]}


def test_an_encoder_that_varies_has_one_column(tmp_path):
  trials = [MadeUp("rte", "adapters", 0, {"encoder": name},
                   {"validation": {"accuracy": 0.5}}) for name in "ab"]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  header, *rows = csv.reader(io.StringIO(made.results))
  assert header.count("encoder") == 1
  assert [row[header.index("encoder")] for row in rows] == ["a", "b"]


def test_other_tasks_have_plain_tables(tmp_path):
  scores = {"validation": {"f1": 0.8, "exact_match": 0.7}}
  squad = write_sweep(tmp_path / "squad", [
      MadeUp("squad", "adapters", seed, {"adapter_size": "2"}, scores)
      for seed in (0, 1)], tool="squad")
  ours, *paper = table(make_report([squad]), "task-squad")
  assert (ours["F1"], ours["exact match"], ours["seeds"]) == (
      "80.0 ± 0.0", "70.0 ± 0.0", "2")
  assert [(row["F1"], row["measured on"]) for row in paper] == [
      (f1, "paper, BERT-base, validation") for f1 in ("90.7", "90.4", "89.9")]
  # Called like one of the paper's, but a file of one's own.
  mine = write_sweep(tmp_path / "mine", [
      MadeUp("rte", "a", 0, {}, {"validation": {"accuracy": 0.5}},
             flags={"max_train_examples": "1000"}, kind="tsv")])
  made = make_report([mine])
  assert [one.name for one in made.tables] == ["task-rte", "selected"]
  assert made.tables[0].papers == 0
  assert made.tables[0].notes == ("At most 1,000 training rows: rte.",)


def test_one_task_has_distances_too(tmp_path):
  trials = [MadeUp("mine", method, seed, settings, {
      "validation": {"accuracy": 0.5}, "test": {"accuracy": score}}, trained,
                   kind="tsv")
            for seed in (0, 1) for method, settings, score, trained in (
                ("full", {"tuning": "full"}, 0.8 + seed / 100, 1010),
                ("adapters", {}, 0.7, 20))]
  made = make_report([write_sweep(tmp_path / "sweep", trials)])
  assert [one.name for one in made.tables] == [
      "methods", "distance", "task-mine", "selected"]
  row, = table(made, "distance")
  assert row == {"method": "adapters", "trained": "2 %", "seeds": "2",
                 "of full": "2", "mine": "-10.5 ± 0.5"}


def test_ends_of_grids_are_named(report):
  text = (report / "tables" / "selected.md").read_text()
  assert ("better: cola: adapters adapter_size (highest), full learning_rate "
          "(lowest); mrpc: ") in text.replace("\\", "")


def test_what_is_not_whole_is_marked_wherever_it_stands(tmp_path):
  missing = {("rte", "adapters", 1)}
  trials = [*grid(missing=missing), *(MadeUp(
      "demo", "adapters", seed, {}, None if seed else {
          "validation": {"accuracy": 0.5}}, error="the loss is not finite")
                                      for seed in (0, 1))]
  made = make_report([write_sweep(tmp_path / "s", trials, selection_seeds=[0])])
  adapters = next(row for row in table(made, "table1")
                  if row["method"] == "adapters")
  assert (adapters["CoLA"], adapters["RTE"], adapters["mean"]) == (
      "60.0 ± 0.0", "69.0*", "73.0*")
  row, = table(made, "task-demo")
  assert row["accuracy"] == "50.0*"
  failed = "Without a score, as they failed: adapters on demo, seed 1."
  for name in ("task-demo", "selected"):
    found, = (one for one in made.tables if one.name == name)
    assert failed in found.notes, name
  distances, = (one for one in made.tables if one.name == "distance-GLUE")
  row = next(csv.DictReader(io.StringIO(distances.csv)))
  assert (row["row"], row["rte seeds"], row["rte full seeds"],
          row["rte complete"], row["cola complete"], row["mean tasks"]) == (
              "adapters", "1", "2", "False", "True", "3")
  # What ASHA has stopped is out for good.
  folder = write_sweep(tmp_path / "asha", [*grid(tasks=["rte"]), MadeUp(
      "rte", "full", 0, {"learning_rate": "9"}, None)], selection_seeds=[0])
  assert "*" in str(table(make_report([folder]), "table1"))
  stopped = pathlib.Path(folder, "trials", "rte", "learning_rate=9")
  stopped.mkdir()
  remember_stopped(stopped / "seed=0", Stopped(1, 0.1))
  assert "*" not in str(table(make_report([folder]), "table1"))


def data(digest, rows=100):
  files = {split: {"x": digest} for split in ("train", "validation")}
  return {"data": {"files": files,
                   "splits": {"train": rows, "validation": rows}}}


def test_files_of_the_vocabulary_and_of_further_splits_may_differ(tmp_path):
  def trial(rate, **files):
    return MadeUp("rte", "adapters", 0, {"learning_rate": rate}, {
        "validation": {"accuracy": 0.5}}, more={"data": {
            "files": {"validation": {"x": "a"}, **files},
            "splits": {"train": 9, "validation": 9, "test": 9}}})

  make_report([write_sweep(tmp_path / "s", [
      trial("1", vocab_file={"v": "1"}), trial("2", vocab_file={"v": "2"}),
      trial("3", test={"x": "b"})])])


def test_an_encoder_can_be_a_flag_here_and_a_setting_there(tmp_path):
  def trial(score, settings):
    return MadeUp("rte", "adapters", 0, settings,
                  {"validation": {"accuracy": score}})

  folders = [
      write_sweep(tmp_path / "a", [trial(0.9, {"learning_rate": "1"})],
                  {"encoder": "minilm_l6"}),
      write_sweep(tmp_path / "b", [
          trial(0.6, {"encoder": encoder, "learning_rate": "1"})
          for encoder in ("minilm_l6", "tiny")])]
  made = make_report(folders)
  assert [(row["encoder"], row["reported"], row["settings compared"])
          for row in table(made, "selected")] == [
      ("minilm_l6", "90.0", "2"), ("tiny", "60.0", "1")]


def test_distances_are_to_full_fine_tuning_on_the_same_split(tmp_path):
  def trial(method, seed, settings, trained, split):
    return MadeUp("rte", method, seed, settings, {
        "validation": {"accuracy": 0.5}, split: {"accuracy": 0.6}}, trained)

  trials = [trial("full", seed, {"tuning": "full"}, 1010, "test")
            for seed in range(3)]
  trials += [trial("hidden", seed, {"adapter_size": "4"}, 50, "validation")
             for seed in range(2)]
  trials += [trial("lora", seed, {}, 20, "test") for seed in range(3)]
  made = make_report([write_sweep(tmp_path / "s", trials)])
  row, *_ = table(made, "distance")
  assert (row["method"], row["seeds"], row["of full"]) == ("lora", "3", "3")


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("more, split", [
    (data("b"), "train"), (data("a", 99), "validation")])
def test_scores_of_other_rows_are_a_conflict(tmp_path, more, split, joined):
  trials = [MadeUp("rte", "adapters", 0, {"learning_rate": rate},
                   {"validation": {"accuracy": 0.5}}, more=one)
            for rate, one in (("1", data("a")), ("2", more))]
  folders = ([write_sweep(tmp_path / str(number), [one])
              for number, one in enumerate(trials)]
             if joined else [write_sweep(tmp_path / "0", trials)])
  with pytest.raises(InputError, match=re.escape(
      f"rate=2/seed=0: rte was run on other data, and the {split} split is not "
      "the same: report on them apart, or remove one's folder")):
    make_report(folders)


def test_a_method_that_failed_awaits_nothing(tmp_path):
  trials = [MadeUp("rte", method, 0, {"learning_rate": rate}, scores,
                   error=None if scores else "the loss is not finite")
            for method, rate, scores in (
                ("good", "1", {"validation": {"accuracy": 0.5}}),
                ("bad", "9", None))]
  trials.append(dataclasses.replace(trials[0], seed=1))
  folder = write_sweep(tmp_path / "s", trials, selection_seeds=[0])
  assert "to come" not in make_report([folder]).summary


def test_what_trials_warned_of_is_told(tmp_path):
  trials = [MadeUp("rte", "adapters", seed, {}, {
      "validation": {"accuracy": 0.5}}, more={
          "warnings": ["every prediction is a"] * seed,
          "versions": {"tf_adapters": f"0.{seed}", "tensorflow": "2.20"}})
            for seed in range(3)]
  made = make_report([write_sweep(tmp_path / "s", trials)])
  assert ["rte/default/seed=1: every prediction is a",
          *["rte/default/seed=2: every prediction is a"] * 2] in made.blocks
  text = str(made.blocks)
  assert "versions of tf_adapters: 0.0, 0.1, 0.2" in text
  assert "versions of tensorflow: 2.20'" in text
  assert [row["warnings"] for row in csv.DictReader(
      io.StringIO(made.results))] == [
          "", "every prediction is a",
          "every prediction is a;every prediction is a"]


def test_other_seeds_than_those_that_select_have_no_say(tmp_path):
  def trial(rate, seed, score):
    return MadeUp("rte", "adapters", seed, {"learning_rate": rate},
                  {"validation": {"accuracy": score}})

  first = [trial("1", 0, 0.6), trial("2", 0, 0.5)]
  started = make_report([write_sweep(
      tmp_path / "started", [*first, trial("1", 1, 0.1)],
      selection_seeds=[0])])
  assert table(started, "table1")[0]["RTE"] == "35.0 ± 25.0"
  assert "to come" not in started.summary
  folder = write_sweep(tmp_path / "s", first, selection_seeds=[0])
  path = pathlib.Path(folder, "sweep.json")
  values = json.loads(path.read_text())
  values["spec"]["seeds"] = [0, 1]
  path.write_text(json.dumps(values))
  assert make_report([folder]).summary.endswith(
      "The other seeds of what is selected are still to come.")
  # Sweeps of earlier days.
  del values["spec"]["selection_seeds"]
  path.write_text(json.dumps(values))
  assert "to come" not in make_report([folder]).summary


@given(st.dictionaries(
    st.tuples(st.sampled_from([2, 8, 64]), st.integers(1, 9)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
@settings(max_examples=50, deadline=None)
def test_every_point_is_the_best_of_its_settings_by_validation(tried):
  records = [
      Record(PastTrial("s", f"rte/{size}-{rate}/seed=0", "rte", ("a",), {}, 0,
                       True, {}), {
          "task": "rte", "tuning": "adapters", "steps": 1,
          "metrics": {"validation": {"accuracy": validation},
                      "test": {"accuracy": test}},
          "parameters": {"trained": size},
          "hyperparameters": {"adapter": {"size": size}}})
      for (size, rate), (validation, test) in tried.items()]
  panel, = curves.panels(records, curves.parameters)
  points = panel.curves["adapters"]
  assert [point.x for point in points] == sorted({size for size, _ in tried})
  for point in points:
    best = max(score for (size, _), score in tried.items() if size == point.x)
    validation, = {record.metrics["validation"]["accuracy"]
                   for record in point.chosen.records}
    assert validation == best[0]
    assert (validation, point.score.mean) in tried.values()


def test_every_method_has_a_curve():
  def record(method, size):
    return Record(
        PastTrial("s", "x", "rte", ("a",), {}, 0, True, {}), {
            "tuning": "adapters", "parameters": {"trained": size},
            "hyperparameters": {"adapter": method.to_dict(),
                                "learning_rate": 0.1}})

  preset = ta.AdapterConfig.preset
  for method, point in ((ta.AdapterConfig(size=4), ("adapters", "4")),
                        (preset("pfeiffer"), ("pfeiffer adapters", "48")),
                        (preset("parallel"), ("parallel adapters", "384")),
                        (ta.LoraConfig(rank=2), ("LoRA", "2")),
                        (ta.LoraConfig(rank=2, dora=True), ("DoRA", "2")),
                        (ta.IA3Config(), ("IA3", ""))):
    assert curves.parameters(record(method, 9)) == (*point, 9)
    assert curves.learning_rate(record(method, 9)) == (point[0], "0.1", 0.1)


def test_the_papers_tables_follow_from_their_columns():
  assert (len(TABLE_1.columns), len(TABLE_2.columns)) == (9, 17)
  for row in TABLE_2.rows:
    assert statistics.fmean(row.scores.values()) == pytest.approx(
        row.mean, abs=0.1)
  # GLUE's averages are not those of the columns, but by as much in each row.
  for row in TABLE_1.rows:
    assert statistics.fmean(row.scores.values()) - row.mean == pytest.approx(
        1.55, abs=0.1)
    percent = float(row.trained)
    shared = percent < 100
    assert float(row.total) == pytest.approx(
        shared + 9 * percent / 100, abs=0.05)


def damaged(folder, name, change):
  path = next(pathlib.Path(folder).rglob(name))
  values = json.loads(path.read_text())
  change(values)
  path.write_text(json.dumps(values))
  return path


def put(value, *keys):
  """Sets a value somewhere in a JSON object."""
  def change(values):
    for key in keys[:-1]:
      values = values[key]
    values[keys[-1]] = value
  return change


@pytest.mark.parametrize("name, change, message", [
    ("sweep.json", put(2, "format_version"), "format_version 2, expected 1"),
    ("sweep.json", put([], "spec"), "damaged: spec is no object"),
    ("sweep.json", put(0, "spec", "seeds"), "damaged: seeds is no list"),
    ("sweep.json", put([[]], "spec", "selection_seeds"),
     "damaged: selection_seeds are not all numbers"),
    ("sweep.json", put({"rte": [0, "x"]}, "spec", "task_seeds"),
     "damaged: task_seeds.rte are not all numbers"),
    ("sweep.json", put([], "spec", "methods"), "damaged: methods is no object"),
    ("sweep.json", put({}, "trials"), "damaged: trials is no list"),
    ("sweep.json", put(3, "trials", 0), "trials[0] is no object"),
    ("sweep.json", put("../x", "trials", 1, "folder"),
     "trials[1].folder is no trial's"),
    ("sweep.json", put("trials/../x/seed=1", "trials", 1, "folder"),
     "trials[1].folder is no trial's"),
    ("sweep.json", put({"a": 1}, "trials", 0, "settings"),
     "trials[0].settings are not all texts"),
    ("results.json", put("x", "parameters", "trained"),
     "damaged: parameters.trained is no number"),
    ("results.json", put(None, "hyperparameters"),
     "damaged: hyperparameters.learning_rate is no number"),
    ("results.json", put(None, "hyperparameters", "encoder"),
     "damaged: hyperparameters.encoder is no text"),
    ("results.json", put("magic", "tuning"), "damaged: tuning must be one of"),
    ("results.json", put({"test": {}}, "metrics"),
     "damaged: metrics are not numbers by split"),
    ("results.json", put({}, "hyperparameters", "adapter"),
     "damaged: hyperparameters.adapter is empty"),
    ("results.json", put({"size": "8"}, "hyperparameters", "adapter"),
     "damaged: hyperparameters.adapter: adapter size must be"),
    ("results.json", put({"method": "x"}, "hyperparameters", "adapter"),
     "damaged: hyperparameters.adapter: unknown method 'x'"),
])
def test_damage_is_one_line(tmp_path, capsys, name, change, message):
  trials = [MadeUp("rte", "adapters", seed, {"adapter_size": "8"},
                   {"validation": {"accuracy": 0.5}}) for seed in (0, 1)]
  folder = write_sweep(tmp_path / "sweep", trials)
  path = damaged(folder, name, change)
  assert calling.call(tool, f"--sweep_dir={folder}") == 1
  error = capsys.readouterr().err
  assert error.startswith(f"error: {path}") and message in error
  assert error.count("\n") == 1
  assert not pathlib.Path(folder, "report").exists()


def test_odd_flags_are_damage(tmp_path):
  folder = write_sweep(tmp_path / "sweep", grid(), {"holdout": "half"})
  with pytest.raises(InputError, match=r"flags\.flags: damaged: holdout is no"):
    make_report([folder])


@pytest.mark.parametrize("arguments, message", [
    ([], "--sweep_dir must be given"),
    (["--sweep_dir="], "must name folders"),
    (["--sweep_dir=nowhere"], "nowhere: is no sweep: it has no sweep.json"),
    (["--sweep_dir={sweep}", "--output_dir="], "output_dir must not be empty"),
    (["--sweep_dir={sweep}", "--output_dir={sweep}"], "is a sweep's folder"),
    (["--sweep_dir={sweep}", "--output_dir={sweep}/sweep.json"],
     "is a file, not a folder"),
    (["--sweep_dir={sweep}", "--output_dir={mine}"], "has figures/, but no"),
])
def test_mistakes_are_one_line(tmp_path, capsys, arguments, message):
  trials = [MadeUp("rte", "a", 0, {}, {"validation": {"accuracy": 0.5}})]
  folder = write_sweep(tmp_path / "sweep", trials)
  mine = tmp_path / "mine"
  (mine / "figures").mkdir(parents=True)
  assert calling.call(tool, *(argument.format(sweep=folder, mine=mine)
                              for argument in arguments)) in (1, 2)
  error = capsys.readouterr().err
  assert error.startswith("error: ") and message in error
  assert error.count("\n") == 1
  assert [path.name for path in mine.iterdir()] == ["figures"]


def test_the_command_needs_no_tensorflow(tmp_path):
  trials = [MadeUp("rte", "a", 0, {}, {"validation": {"accuracy": 0.5}})]
  folder = write_sweep(tmp_path / "sweep", trials)
  done = subprocess.run(
      [sys.executable, "-c", "import sys\n"
       "from tf_adapters.tools import report\n"
       "try:\n  report.main()\n"
       "finally:\n  assert 'tensorflow' not in sys.modules\n"
       "  assert 'matplotlib.pyplot' not in sys.modules",
       f"--sweep_dir={folder}"],
      cwd=pathlib.Path(__file__).parents[2], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  # The scores come first, what is left out last.
  table, summary, missing = (done.stdout.index(text) for text in (
      "validation 0.5000", "1 of 1 trials are finished", "left out: "))
  assert table < summary < missing
  assert (tmp_path / "sweep" / "report" / "report.html").exists()
