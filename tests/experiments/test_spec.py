"""Specs of sweeps: the trials that they list, and the errors of wrong ones."""

import collections
import json
import math
import pathlib
import re

import pytest
from hypothesis import given, settings, strategies as st

from tf_adapters.errors import InputError
from tf_adapters.experiments.spec import PRESETS
from tf_adapters.experiments.spec_file import read_spec
from tf_adapters.experiments.trials import check_flags_read, expand
from tf_adapters.tools import _flag_reader, glue, squad, train

OUT = pathlib.Path("sweeps/x")
READERS = {"glue": _flag_reader.FlagReader(glue),
           "squad": _flag_reader.FlagReader(squad),
           "train": _flag_reader.FlagReader(train)}

GOOD = """
flags: {encoder: bert_base_uncased, mixed_precision: off, max_seq_length: 64}
tasks: [rte, mrpc]
seeds: [0, 1]
methods:
  full: {tuning: full, learning_rate: [3e-5, 1e-4]}
  adapters:
    tuning: adapters
    adapter_size: [8, 64]
    learning_rate: [3e-4, 3e-3]
"""


@pytest.fixture
def write(tmp_path):
  def write(text):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return path
  return write


def trials_of(path, tasks=None, overrides=None, methods=None):
  spec = read_spec(path, tasks, methods, overrides)
  return expand(spec, READERS[spec.tool], OUT)


def test_every_combination_is_a_run(write):
  trials = trials_of(write(GOOD))
  assert len(trials) == 2 * (2 + 4) * 2
  trial = next(trial for trial in trials if trial.name == (
      "rte/adapter_size=8-learning_rate=0.003-tuning=adapters/seed=1"))
  assert trial.methods == ("adapters",)
  assert trial.seed == 1
  config = trial.config
  assert (config.task_name, config.adapter_size, config.learning_rate,
          config.seed, config.max_seq_length) == ("rte", 8, 3e-3, 1, 64)
  # Texts stay what they are: neither YAML's false nor its string.
  assert config.mixed_precision == "off"
  assert config.do_train and config.do_eval and not config.keep_checkpoints
  assert config.output_dir == f"{OUT}/trials/{trial.name}"


NAMES = st.text("abcdef_", min_size=1, max_size=6)
VALUES = {
    "learning_rate": st.floats(1e-6, 1.0).map(lambda x: f"{x:.3g}"),
    "num_train_epochs": st.integers(1, 100).map(str),
    "adapter_size": st.integers(1, 512).map(str),
    "weight_decay": st.sampled_from(["0.0", "0.01", "0.1"]),
    "adapter_layers": st.sampled_from(["6-11", "0,2", "3"]),
    "text_column": st.text("a/b:,+-= %", min_size=1, max_size=5).map(
        lambda text: f"x{text}x"),
}


@st.composite
def specs(draw):
  def method():
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True,
                          min_size=1, max_size=4))
    return {name: draw(st.lists(VALUES[name], unique=True, min_size=1,
                                max_size=2)) for name in names}

  return {
      "flags": {"data_dir": "x"},
      "tasks": {name: {"task_name": "tsv"} for name in draw(
          st.lists(NAMES, unique=True, min_size=1, max_size=3))},
      "seeds": list(map(str, range(draw(st.integers(1, 3))))),
      "methods": {name: method() for name in draw(
          st.lists(NAMES, unique=True, min_size=1, max_size=3))},
  }


def turned(value):
  """The same with keys the other way round."""
  if not isinstance(value, dict):
    return value
  return {key: turned(value[key]) for key in reversed(value)}


@given(specs())
@settings(max_examples=40, deadline=None)
def test_expansion(tmp_path_factory, spec):
  path = tmp_path_factory.getbasetemp() / "spec.yaml"
  path.write_text(json.dumps(spec))
  trials = trials_of(path)
  path.write_text(json.dumps(turned(spec)))
  assert trials_of(path) == trials
  names = [trial.name for trial in trials]
  assert len(set(names)) == len(names)
  for name in names:
    assert all(0 < len(part) <= 255 for part in name.split("/"))
    assert name.count("/") == 2 and "," not in name
  # Every method has its whole grid.
  for method, grid in spec["methods"].items():
    mine = [trial for trial in trials if method in trial.methods]
    assert len(mine) == (len(spec["tasks"]) * len(spec["seeds"])
                         * math.prod(map(len, grid.values())))
    for trial in mine:
      assert trial.settings.keys() == grid.keys()


def test_a_task_can_have_seeds_and_values_of_its_own(write):
  task = "rte: {seeds: 4, num_train_epochs: [8, 20]}, mrpc: {seeds: [1, 0, 5]}"
  path = write(GOOD.replace("[rte, mrpc]", f"{{{task}, cola: {{}}}}"))
  trials = trials_of(path)
  seeds = {task: {trial.seed for trial in trials if trial.task == task}
           for task in ("cola", "mrpc", "rte")}
  assert seeds == {"cola": {0, 1}, "mrpc": {0, 1, 5}, "rte": {0, 1, 2, 3}}
  assert {trial.seed for trial in trials if trial.selects} == {0, 1}
  # What is tried beside the task's own is a setting of every method.
  epochs = {trial.name: trial.config.num_train_epochs for trial in trials
            if trial.task == "rte" and trial.seed == 3}
  assert len(epochs) == 2 * (2 + 4)
  for name, count in epochs.items():
    assert count == (20 if "num_train_epochs=20" in name else 8)
    assert "num_train_epochs=8" not in name
  overridden = trials_of(path, overrides={"num_train_epochs": "1"})
  assert {trial.config.num_train_epochs for trial in overridden} == {1}
  assert len(overridden) == 6 * (4 + 3 + 2)


def test_what_methods_share_is_one_trial(write):
  trials = trials_of(write("""
tasks: [rte]
seeds: [0]
methods:
  adapters_64: {adapter_size: 64, learning_rate: [3e-4, 3e-3]}
  adapters_8-64: {adapter_size: [8, 64], learning_rate: [0.0003, 0.003]}
"""))
  assert [trial.methods for trial in trials] == [
      ("adapters_64", "adapters_8-64")] * 2 + [("adapters_8-64",)] * 2


def test_names_stay_when_a_sweep_grows(write):
  small = {trial.name: trial.config for trial in trials_of(write(GOOD))}
  large = {trial.name: trial.config for trial in trials_of(write(
      GOOD.replace("[0, 1]", "[1, 0, 7]").replace("[8, 64]", "[64, 16, 8]")
      + "  a_new_one: {tuning: bias}\n"))}
  assert len(large) > len(small)
  assert small.items() <= large.items()


def test_random_search(write):
  text = """
tasks: [rte, cola]
seeds: [0]
methods:
  a:
    draws: 30
    draw_seed: 3
    learning_rate: {log_uniform: [1e-5, 1e-2]}
    adapter_dropout: {uniform: [0, 0.5]}
    adapter_size: {log_uniform: [8, 256]}
    adapter_activation: [relu, tanh]
"""
  trials = trials_of(write(text))
  assert len(trials) == 60
  for one, two in zip(trials[:30], trials[30:]):  # the same for every task
    assert one.settings == two.settings
  configs = [trial.config for trial in trials[:30]]
  rates = [config.learning_rate for config in configs]
  assert all(1e-5 <= rate <= 1e-2 for rate in rates)
  # By their logarithms: a third for each power of ten, not nine tenths.
  assert 3 < sum(rate < 1e-4 for rate in rates) < 20
  assert all(0 <= config.adapter_dropout <= 0.5 for config in configs)
  assert all(8 <= config.adapter_size <= 256 for config in configs)
  assert {config.adapter_activation for config in configs} == {"relu", "tanh"}
  assert trials_of(write(text)) == trials
  other = trials_of(write(text.replace("draw_seed: 3", "draw_seed: 4")))
  assert [trial.name for trial in other] != [trial.name for trial in trials]
  # A flag's draws are its own.
  less = trials_of(write(text.replace(
      "    adapter_dropout: {uniform: [0, 0.5]}\n", "")))
  assert [trial.config.learning_rate for trial in less[:30]] == rates
  more = trials_of(write(text.replace("draws: 30", "draws: 40")))
  assert {trial.name for trial in trials} < {trial.name for trial in more}


def test_tasks_have_flags_of_their_own(write):
  trials = trials_of(write("""
flags: {num_train_epochs: 3}
tasks:
  rte: {num_train_epochs: 20}
  mine: {task_name: tsv, data_dir: data/mine, text_column: review}
seeds: [0]
methods: {a: }
"""))
  assert [(trial.name, trial.config.task_name, trial.config.num_train_epochs)
          for trial in trials] == [("mine/default/seed=0", "tsv", 3),
                                   ("rte/default/seed=0", "rte", 20)]


def test_flags_of_all_trials_may_concern_some(write):
  trials = trials_of(write("""
flags: {prefix_cache_dir: cache, text_column: review, data_dir: data}
tasks: {demo: , mine: {task_name: tsv}}
seeds: [0]
methods:
  adapters: {tuning: adapters, eval_batch_size: 8}
  head: {tuning: head, prefix_cache: true}
"""))
  assert [(trial.name, trial.config.prefix_cache_dir, trial.config.text_column,
           trial.config.data_dir) for trial in trials] == [
      ("demo/tuning=adapters/seed=0", None, "text", None),
      ("demo/prefix_cache=true-tuning=head/seed=0", "cache", "text", None),
      ("mine/tuning=adapters/seed=0", None, "review", "data"),
      ("mine/prefix_cache=true-tuning=head/seed=0", "cache", "review", "data")]
  assert [trial.config.eval_batch_size for trial in trials] == [8, 64] * 2


def test_what_is_given_beside_the_spec_counts(write):
  trials = trials_of(write(GOOD), ["rte"], {
      "learning_rate": "0.5", "data_dir": "data", "max_seq_length": "32"})
  assert len(trials) == 2 * (1 + 2)
  for trial in trials:
    assert trial.task == "rte"
    assert trial.config.learning_rate == 0.5
    assert trial.config.data_dir == "data"
    assert trial.config.max_seq_length == 32
    assert "learning_rate" not in trial.settings


BAD = [
    ("", "sweep.yaml: expected keys with values"),
    ("a: [", "sweep.yaml:1: not readable as YAML"),
    ("seeds: &a [*a]", "nested too deeply, or in itself"),
    # Lists and mappings of aliases: some hundred bytes that stand for 9^9
    # values.
    ("a: &a [1, 2, 3]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefghi", "bcdefghij")),
     "more than 100,000 values, those that its aliases (*name) stand for"),
    ("a: &a {x: 1}\n" + "".join(
        f"{name}: &{name} {{x: *{before}, y: *{before}}}\n"
        for before, name in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst")),
     "more than 100,000 values"),
    ('tool: "\\U00110000"', "not readable as YAML: chr() arg not in range"),
    ('tool: "\\UFFFFFFFF"', "not readable as YAML"),
    ("tool: \0", "not readable as YAML: unacceptable character #x0000"),
    ("- a", "expected keys with values"),
    (GOOD + "metods: {}", "metods: is none of tool, flags, tasks"),
    (GOOD + "tool: sqad", "tool: is none of train, glue, squad"),
    (GOOD + "  full: {tuning: full}", "sweep.yaml:11: full stands there twice"),
    (GOOD.replace("encoder", "encodr"),
     "flags.encodr: is no flag of tf-adapters glue; did you mean encoder?"),
    (GOOD.replace("encoder:", "doc_stride:"),
     "flags.doc_stride: is no flag of tf-adapters glue"),
    (GOOD.replace("encoder:", "seed:"), "flags.seed: cannot be set: seeds"),
    (GOOD.replace("encoder:", "task_name:"), "flags.task_name: cannot be set"),
    (GOOD.replace("encoder: bert_base_uncased", "overwrite: true"),
     "flags.overwrite: cannot be set: remove the folder of a trial"),
    (GOOD.replace("encoder:", "output_dir:"), "flags.output_dir: cannot be"),
    (GOOD.replace("64}", "many}"), "flags.max_seq_length: flag"),
    (GOOD.replace("64}", "[1]}"), "flags.max_seq_length: expected a single"),
    (GOOD.replace("3e-5", "-3e-5"), "methods.full.learning_rate: flag"),
    (GOOD.replace("3e-5", "nan"), "methods.full.learning_rate: flag"),
    (GOOD.replace("tuning: full", "tuning: ful"), "methods.full.tuning: flag"),
    (GOOD.replace("3e-5,", "1e-4,"), "methods.full.learning_rate: 1e-4 stands"),
    (GOOD.replace("[3e-5, 1e-4]", "[]"), "learning_rate: expected a list"),
    (GOOD.replace("tuning: full", "eval_batch_size: [8, 16]"),
     "methods.full.eval_batch_size: makes no other run"),
    (GOOD.replace("tuning: full", "best_metric: macro_f1"),
     "methods.full.best_metric: selects among all settings of a task"),
    (GOOD.replace("tuning: full", "holdout: 0.1"),
     "methods.full.holdout: makes scores of other rows, which do not compare"),
    (GOOD.replace("tuning: full", "data_dir: [a, b]"),
     "methods.full.data_dir: makes scores of other rows"),
    (GOOD.replace("tuning: full", "class_weight: [balanced, spam]"),
     "methods.full.class_weight: flag --class_weight=spam"),
    (GOOD.replace("[3e-5, 1e-4]", "{uniform: [0, 1]}"), "needs draws"),
    (GOOD.replace("[3e-5, 1e-4]", "{uniform: [1, 0]}, draws: 2"),
     "methods.full.learning_rate: expected a lower and a higher bound"),
    (GOOD.replace("tuning: full,", "tuning: adapters, draws: 2, "
                  "adapter_size: {uniform: [8.5, 64]},"),
     "adapter_size: expected whole numbers as bounds"),
    (GOOD.replace("[3e-5, 1e-4]", "{log_uniform: [0, 1]}, draws: 2"),
     "both above 0"),
    (GOOD.replace("[3e-5, 1e-4]", "{uniform: [-1, 1]}, draws: 2"),
     "methods.full.learning_rate: flag --learning_rate=-1"),
    (GOOD.replace("[3e-5, 1e-4]", "{normal: [0, 1]}, draws: 2"),
     "expected uniform or log_uniform with two bounds"),
    (GOOD.replace("[3e-5, 1e-4]", "{uniform: [0, x]}, draws: 2"),
     "expected numbers as bounds"),
    (GOOD.replace("tuning: full,", "tuning: {uniform: [0, 1]}, draws: 2,"),
     "methods.full.tuning: is no number"),
    (GOOD.replace("tuning: full", "tuning: full, draws: x"),
     "methods.full.draws: expected a whole number from 1 to 100000, not x"),
    (GOOD.replace("tuning: full", "tuning: full, draw_seed: 1"),
     "methods.full.draw_seed: has no effect without draws"),
    (GOOD.replace("tuning: full", "tuning: full, adapter_size: 8"),
     "methods.full, task mrpc: adapter_size has no effect with tuning=full"),
    (GOOD.replace("tuning: full", "tuning: full, num_replicas: 2"),
     "methods.full, task mrpc: num_replicas=2 has no effect"),
    (GOOD.replace("full: {", "a/b: {"), "methods.a/b: a name may have letters"),
    (GOOD.replace("[rte, mrpc]", "[rte, ../x]"), "tasks.../x: a name may have"),
    (GOOD.replace("[rte, mrpc]", "[rtee]"), "task rtee: flag --task_name=rtee"),
    (GOOD.replace("[rte, mrpc]", "rte"), "tasks: expected a list of tasks"),
    (GOOD.replace("[rte, mrpc]", "{rte: {learning_rate: 1}}"),
     "learning_rate: is set by tasks.rte, too"),
    (GOOD.replace("[0, 1]", "[0, x]"), "seeds: expected a whole number"),
    (GOOD.replace("[0, 1]", "0"), "seeds: expected a whole number from 1"),
    (GOOD.replace("[rte, mrpc]", "{rte: {seeds: [1, 2]}}"),
     "tasks.rte.seeds: lacks 0, which selects"),
    (GOOD.replace("[rte, mrpc]", "{rte: {seeds: []}}"),
     "tasks.rte.seeds: expected a list of values"),
    (GOOD.replace("[rte, mrpc]", "{rte: {holdout: [0.1, 0.2]}}"),
     "tasks.rte.holdout: is the same for all settings of a task"),
    (GOOD.replace("[rte, mrpc]", "{rte: {learning_rate: [1, 2]}}"),
     "learning_rate: is set by tasks.rte, too"),
    (GOOD.replace("[rte, mrpc]", "{rte: {num_train_epochs: [3, x]}}"),
     "tasks.rte.num_train_epochs: flag --num_train_epochs=x"),
    (GOOD + "selection_seeds: [2]", "selection_seeds: 2 is none of the seeds"),
    (GOOD + "selection_seeds: 0", "selection_seeds: expected a list of"),
    (GOOD.replace("[0, 1]", "[4000000000]"), "seeds: expected a whole number"),
    (GOOD.replace("seeds", "#"), "seeds: is missing: give a list, such as see"),
    (GOOD[:GOOD.index("methods")], "methods: is missing: give one"),
    (GOOD + "tool: train", "methods.adapters, task mrpc: --data must be given"),
    (GOOD.replace("tuning: full", "lora_rank: 4"),
     "lora_rank has no effect with method=bottleneck: it is for method=lora"),
    (re.sub("methods:.*", "methods: {}", GOOD, flags=re.DOTALL),
     "methods: expected a method at least"),
    (GOOD.replace("tuning: full", "tuning: full, draws: 999999999"),
     "methods.full.draws: expected a whole number from 1 to 100000"),
    (GOOD.replace("[0, 1]", str(list(range(20_000)))),
     "240,000 trials, expected at most 100,000"),
]


@pytest.mark.parametrize("text, message", BAD, ids=range(len(BAD)))
def test_mistakes_are_one_line_with_file_and_key(write, text, message):
  path = write(text)
  with pytest.raises(InputError) as raised:
    trials_of(path)
  error = str(raised.value)
  assert message in error
  assert error.startswith(str(path))
  assert "\n" not in error


@pytest.mark.parametrize("kind", ["uniform", "log_uniform"])
def test_whole_numbers_are_drawn_with_both_ends(write, kind):
  spec = read_spec(write(
      "tasks: [rte]\nseeds: [0]\nmethods:\n"
      f"  a: {{draws: 3000, adapter_size: {{{kind}: [2, 4]}}}}\n"))
  count = collections.Counter(
      setting["adapter_size"] for setting in spec.methods["a"].settings())
  assert count.keys() == {"2", "3", "4"}
  # Shares of the range from 1.5 to 4.5.
  share = {"uniform": 1 / 3, "log_uniform": math.log(2.5 / 1.5, 3)}[kind]
  assert count["2"] / 3000 == pytest.approx(share, abs=0.04)


def test_tasks_and_methods_can_be_chosen(write):
  trials = trials_of(write(GOOD), ["mrpc"], methods=["full"])
  assert {(trial.task, trial.methods) for trial in trials} == {
      ("mrpc", ("full",))}
  every = {trial.name for trial in trials_of(write(GOOD))}
  assert {trial.name for trial in trials} < every
  with pytest.raises(InputError, match="has no b; there is full, adapters"):
    trials_of(write(GOOD), methods=["full", "b"])


def test_what_is_given_beside_the_spec_is_known(write):
  given = {"encoder": "minilm_l6", "learning_rate": "0.1"}
  spec = read_spec(write(GOOD), overrides=given)
  assert spec.given == given and spec.given.items() <= spec.flags.items()


def test_mistakes_beside_the_spec_are_named(write, tmp_path):
  path = write(GOOD)
  for tasks, overrides, message in [
      (["sst2"], {}, "tasks: has no sst2; there is rte, mrpc"),
      (None, {"seed": "1"}, "--seed: cannot be set"),
      (None, {"do_predict": "true"}, "--do_predict: cannot be set: predict"),
      (None, {"encoder": "a "}, "flags.encoder: 'a ' ends with a blank"),
      (None, {"doc_stride": "1"}, "--doc_stride: is no flag of"),
      (None, {"tuning": "head"}, "adapter_size has no effect with tuning=head"),
  ]:
    with pytest.raises(InputError, match=message):
      trials_of(path, tasks, overrides)
  with pytest.raises(InputError, match="cannot be read"):
    read_spec(tmp_path / "nowhere.yaml")


def test_the_baseline_without_bert_is_a_method(write):
  trials = trials_of(write("""
flags: {encoder: minilm_l6, pooling: mean, adapter_size: 8, data_dir: x}
tasks: [airline]
seeds: [0]
methods:
  no_bert:
    draws: 6
    tuning: no_bert
    text_embedding: [some/module, other/module]
    tune_embedding: [true, false]
    hidden_layers: [0, 5]
    hidden_dropout: {uniform: [0, 0.5]}
  words: {text_network: true, hidden_units: [64, 128]}
  adapters: {tuning: adapters}
"""))
  configs = {trial.name: trial.config for trial in trials}
  assert len(configs) == 6 + 2 + 1
  for config in configs.values():
    # What is said of all trials concerns those that it can.
    assert config.pooling == ("auto" if config.text_network else "mean")
    assert (config.encoder is None) == (config.text_embedding is not None)
  assert {config.tune_embedding for config in configs.values()} == {True, False}
  with pytest.raises(InputError, match="methods.a, task rte: hidden_layers=2 "
                     "has no effect with text_network=False"):
    trials_of(write("tasks: [rte]\nseeds: [0]\nmethods:\n"
                    "  a: {tuning: full, hidden_layers: 2}\n"))


OWN = """
tool: train
flags: {data: data/my moods.csv, label_column: mood, encoder: minilm_l6}
seeds: [0]
methods:
  adapters: {adapter_size: [8, 64]}
  full: {tuning: full}
"""


def test_what_train_trains_on_is_swept_by_its_own_flags(write):
  trials = trials_of(write(OWN))
  assert [trial.name for trial in trials] == [
      "my_moods/adapter_size=8/seed=0", "my_moods/adapter_size=64/seed=0",
      "my_moods/tuning=full/seed=0"]
  config = trials[0].config
  assert (config.data, config.label_column, config.name, config.output_dir) == (
      "data/my moods.csv", "mood", "my_moods", f"{OUT}/trials/{trials[0].name}")
  assert config.do_train and config.do_eval
  # The data may stand on the command line; of several tasks each has its own.
  text = OWN.replace("data: data/my moods.csv, ", "")
  assert {trial.task for trial in trials_of(
      write(text), overrides={"data": "a/b.csv"})} == {"b"}
  assert [trial.config.data for trial in trials_of(write(
      text + "tasks: {x: {data: 1.csv}, y: {data: 2.csv}}"),
      methods=["full"])] == ["1.csv", "2.csv"]
  with pytest.raises(InputError, match="for a single one, data under flags"):
    trials_of(write(text))


def test_flags_that_no_trial_reads_are_refused(write):
  path = write(GOOD.replace("flags: {", "flags: {lora_rank: 4, "))
  spec = read_spec(path)
  with pytest.raises(InputError, match=r"flags\.lora_rank: has no effect with "
                     "method=bottleneck: it is for method=lora"):
    check_flags_read(spec, trials_of(path))
  path = write(path.read_text() + "  lora: {method: lora}\n")
  check_flags_read(read_spec(path), trials_of(path))


@pytest.mark.parametrize(
    "path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_are_sweeps(path):
  files = {"train_file": "train.json", "predict_file": "dev.json"}
  trials = trials_of(path, None, files if "squad" in path.stem else {})
  assert len(trials) == {
      "quick": 8, "paper_glue": 8 * (4 + 18) * 5,
      "paper_text": 17 * (50 + 12 + 96 + 72) * 5, "paper_squad": (9 + 48) * 5,
      "paper_figure_4": 2 * 3 * (10 * 3 + 12 * 3 + 3 + 3),
      "paper_figure_6": 2 * 3 * 10, "minilm_glue": 5 * 3 * (2 + 6 + 6 + 2),
      "minilm_methods": 5 * 3 * (3 + 9 * 2),
      "minilm_recipes": 2 * 2 * 18,
      "minilm_headline": (11 + 4 + 20 + 3 + 8) * (7 * 2 + 3),
  }[path.stem]


def test_trials_of_the_methods_table_count_for_the_headline():
  table, headline = (
      {trial.name: trial.config for trial in trials_of(
          PRESETS / f"minilm_{name}.yaml")} for name in ("methods", "headline"))
  common = table.keys() & headline.keys()
  assert len(common) == 5 * 3 * (3 + 7 * 2)
  assert all(table[name] == headline[name] for name in common)
