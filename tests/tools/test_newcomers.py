"""Mistakes of people who are new here: each message names thing and remedy.

On the command line and in a notebook; others are in tests of the tools.
"""

import numpy as np
import pytest

import tf_adapters as ta
from tests.adapters import TASKS, make
from tests.conftest import WORDS
from tests.tools.calling import call
from tf_adapters.tools import (
    convert,
    evaluate,
    export,
    inspect,
    predict,
    push,
    report,
    train,
)

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_layer_source):
  """A folder with data, an encoder and an adapter file, the current one."""
  folder = tmp_path_factory.mktemp("work")
  rows = [f"{'AB'[row % 2]},{WORDS[row % 16]} film {row}" for row in range(40)]
  for name in ("tickets.csv", "data/tickets.csv"):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(["team,ticket_text", *rows]) + "\n")
  (folder / "names.csv").write_text("team,ticket_text\nx,good\ny,bad\n")
  (folder / "tickets.xlsx").write_bytes(b"PK\x03\x04")
  (folder / "encoder").symlink_to(one_layer_source)
  make(one_layer_source, folder / "runs/tickets/adapter", *TASKS["topic"])
  make(one_layer_source, folder / "pairs", *TASKS["same"])
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(folder)
    yield folder


_TRAIN = ["--data=tickets.csv", "--text_column=ticket_text",
          "--label_column=team", "--encoder=encoder"]
_ADAPTER = "runs/tickets/adapter"
_PREDICT = [f"--adapter={_ADAPTER}", "--input=tickets.csv",
            "--text_column=ticket_text", "--output=out.csv"]
_EVALUATE = [f"--adapter={_ADAPTER}", "--text_column=ticket_text",
             "--label_column=team"]


@pytest.mark.parametrize("tool, arguments, message", [
    (train, [], "--data must be given"),
    (train, ["--data=ticket.csv"], "did you mean tickets.csv?"),
    (train, ["--data=tickets.xlsx"], "save it as CSV"),
    (train, [*_TRAIN, "--data=data"], "path of a single file"),
    (train, [*_TRAIN, "--label_column=teams"], "did you mean 'team'?"),
    (train, [*_TRAIN, "--text_column=ticket text"], "did you mean 'ticket_"),
    (train, [*_TRAIN, "--validation_fraction=15"], "range [0, 0.9]"),
    (train, [*_TRAIN, "--validation_fraction=0.5", "--test_fraction=0.5"],
     "leave rows to train on"),
    (train, [*_TRAIN, "--class_weight=balance"],
     "neither balanced nor weights by label, such as spam:5,ham:1"),
    (train, [*_TRAIN, "--class_weight=A:2,C:1"], "'C' is not one of A, B"),
    (train, [*_TRAIN, "--best_metric=acc"], "did you mean accuracy?"),
    (train, [*_TRAIN, "--encoder=minilm"], "did you mean minilm_l6?"),
    (train, [*_TRAIN, "--encoder=gpt2"],
     "a decoder, which goes on with texts: an encoder is wanted, such as min"),
    (train, [*_TRAIN, "--encoder=sentence-transformers/all-MiniLM-L6-v2"],
     "is hf://sentence-transformers/all-MiniLM-L6-v2"),
    (train, [*_TRAIN, "--encoder=runs/tickets/adapter"],
     "is an adapter file, no encoder"),
    (train, [*_TRAIN, "--device=cuda"], "mean --distribution_strategy?"),
    (train, [*_TRAIN, "help"], "--help lists the flags"),
    (train, [*_TRAIN, "--delimiter=comma"], "one character, not 'comma'"),
    (train, [*_TRAIN, "--problem_type=regression"],
     "holds no numbers: --problem_type=classification"),
    (train, [*_TRAIN, "--problem_type=tagging"],
     "no row has a tag for each word"),
    (train, [*_TRAIN, "--text_pair_column=team"], "must differ"),
    (train, [*_TRAIN, "--encoding=utf8mb4"], "such as utf-8, windows-1252"),
    (train, [*_TRAIN, "--output_dir=tickets.csv"], "is a file, not a folder"),
    (train, [*_TRAIN, f"--load_adapter={_ADAPTER}"],
     "--load_adapter is for --do_eval and --do_predict"),
    (train, [*_TRAIN, "--method=adapters"], "one of bottleneck, lora"),
    (train, [*_TRAIN, "--tuning=lora"], "did you mean --method=lora?"),
    (train, [*_TRAIN, "--tuning=all"], "one of adapters, full, top_layers"),
    (train, [*_TRAIN, "--method=full"], "did you mean --tuning=full?"),
    (train, [*_TRAIN, "--method=adapters"], "did you mean bottleneck? It is"),
    (train, [*_TRAIN, "--lora_rank=4"],
     "--lora_rank=4 has no effect with --method=bottleneck: it is for "
     "--method=lora"),
    (train, [*_TRAIN, "--nolora_dora", "--tuning=full"],
     "--lora_dora=false has no effect with --tuning=full: leave it out"),
    (train, [*_TRAIN, "--tuning=head", "--method=lora"],
     "--method=lora has no effect with --tuning=head"),
    (train, [*_TRAIN, "--label_column=ticket_text"],
     "--label_column must differ: both are column 'ticket_text'"),
    (train, [*_TRAIN, "--lora_rank=0"], "an integer in the range [1, "),
    (evaluate, [], "--adapter must be given"),
    (evaluate, [*_EVALUATE, "--adapter=runs/tickets"], "adapter is one"),
    (evaluate, _EVALUATE, "--data must be given"),
    (evaluate, [*_EVALUATE, "--data=names.csv"],
     "its labels are a, b, c"),
    (evaluate, [*_EVALUATE, f"--adapter={_ADAPTER},pairs"],
     "takes one adapter file here, not 2"),
    (evaluate, [*_EVALUATE, f"--adapters={_ADAPTER}"],
     "did you mean --adapter?"),
    (predict, [*_PREDICT, f"--adapters={_ADAPTER}"],
     "did you mean --adapter?"),
    (predict, [*_PREDICT, f"--adapter={_ADAPTER} pairs"],
     "commas between them"),
    (predict, [*_PREDICT, "--adapter=runs/tickets"], "adapter is one"),
    (predict, [*_PREDICT, f"--adapter={_ADAPTER},pairs"], "task_column"),
    (predict, [*_PREDICT, "--adapter=pairs"],
     "--text_pair_column names the column of the others"),
    (predict, [*_PREDICT, "--input=new.txt"], "--format=txt reads a text on"),
    (predict, [*_PREDICT, "--output=tickets.csv", "--text_column=txt"],
     "no column 'txt'"),
    (evaluate, ["--adapter=runs/ticket/adapter"],
     "did you mean runs/tickets/adapter?"),
    (predict, [_ADAPTER, "tickets.csv"],
     f"did you mean --adapter={_ADAPTER} --input=tickets.csv?"),
    (predict, [*_PREDICT, "encoder"], "did you mean --encoder=encoder?"),
    (train, ["tickets.csv", "team"], "did you mean --data=tickets.csv?"),
    (predict, [*_PREDICT, "--output=predictions"], "to end in .tsv, .csv,"),
    (predict, [*_PREDICT, "--output=tickets.csv", "--overwrite"],
     "is the input, too: choose another output"),
    (predict, [*_PREDICT, "--output=no/out.csv"], "make the folder no, or"),
    (predict, [*_PREDICT, "--input=ticket.csv"], "mean tickets.csv?"),
    (predict, [*_PREDICT, "--input=data"], "a folder: give one of its"),
    (export, [f"--adapter={_ADAPTER}", "--output=model.onnx"],
     "a SavedModel is a folder"),
    (export, [f"--adapter=a={_ADAPTER}", "--output=m", "--default_task=b"],
     "'b' is not one of a"),
    (export, [f"--adapters={_ADAPTER}", "--output=m"], "mean --adapter?"),
    (inspect, [], "either --encoder or --adapter"),
    (inspect, ["--encoder=runs/tickets/adapter"], "is an adapter file"),
    (inspect, ["--adapter=encoder"], "it is an encoder: --encoder"),
    (inspect, ["--adapter=tickets.csv"], "and those are folders"),
    (convert, [], "--encoder must be given, or --adapter"),
    (convert, [f"--adapter={_ADAPTER}", "--output=x"], "--to must be given"),
    (push, [f"--adapter={_ADAPTER}", "--repository=tickets"], "owner/name"),
    (report, ["--sweep_dir=runs"], "the --output_dir of tf-adapters sweep"),
])
def test_on_the_command_line(folder, capfd, tool, arguments, message):
  assert call(tool, *arguments) in (1, 2)
  err = capfd.readouterr().err
  assert message in err
  assert err.startswith("error: ") and err.count("\n") == 1


@pytest.fixture(scope="module")
def task(one_layer_source):
  return ta.TextTask(str(one_layer_source), ta.Dataset.from_lists(
      ["good film", "bad film"] * 5, ["a", "b"] * 5), adapter_size=4)


DF = pd.DataFrame({"text": ["good", "bad", "so"], "label": list("aba"),
                   "other": ["x", "y", "z"]})
_from = ta.Dataset.from_dataframe


@pytest.mark.parametrize("mistake, message", [
    (lambda _: _from("tickets.csv"), "Dataset.from_file a file"),
    (lambda _: _from(DF.text), "a DataFrame is wanted"),
    (lambda _: _from(DF.to_dict("records")), "pandas.DataFrame(rows)"),
    (lambda _: _from({"train": DF, "unsupervised": DF}), "leave it out, as in"),
    (lambda _: _from(DF, text=["text", "other"]), "df.subject"),
    (lambda _: _from(DF, text=DF.text), "the name of a column"),
    (lambda _: _from(DF, label=DF.label), "label is a Series"),
    (lambda _: _from(DF, text="texts"), "did you mean 'text'?"),
    (lambda _: _from(DF[["text"]]), "no column 'label'"),
    (lambda _: _from(DF, validation=15), "validation=15 of 3 rows must leave "
     "rows to train on"),
    (lambda _: _from(DF, validation=15.0), "in the range [0, 1), and numbers "
     "of rows integers: validation=15.0"),
    (lambda _: _from(DF, validation="0.1"), "such as 0.15, or how many"),
    (lambda _: _from(DF, test=DF), 'from_dataframe({"train": a, "test": b})'),
    (lambda _: _from(DF, train=2), 'from_dataframe({"train": a, "test": b})'),
    (lambda _: _from(DF, validation_data=DF), 'dict, as in Dataset.from_data'),
    (lambda _: _from({"train": DF, "test": DF}, test=0.2), "has a test split of"
     " its own"),
    (lambda _: _from(DF.set_index("text")), "df.reset_index() makes a column"),
    (lambda _: _from(pd.concat({"a": DF}, axis=1), text=("a", "text")),
     "its columns have 2 levels: df.columns = ["),
    (lambda _: ta.Dataset.from_lists(list("abc"), np.eye(3)),
     "lists: labels are rows of 0 and 1: numpy.argmax(labels, axis=1)"),
    (lambda _: ta.Dataset.from_lists(list("abc")),
     "from_lists: missing a required argument: 'labels'"),
    (lambda _: _from(), "from_dataframe: missing a required argument: 'df'"),
    (lambda _: _from(DF, problem_type="multiclass"), "none of classification,"),
    (lambda _: _from(DF, on_bad_row="ignore"), "one of error, skip"),
    (lambda _: _from(DF, test=0.1), "another fraction, or more rows"),
    (lambda _: _from(DF[:0]), "has no rows with a label: it has no rows at"),
    (lambda _: _from(pd.DataFrame()), "is empty: it has no columns and no"),
    (lambda _: _from(DF, "text", "label"),
     "takes df, text by their place: name what follows, as in text_pair=..., "),
    (lambda _: _from(DF, text_column="text"), "did you mean text?"),
    (lambda _: _from(DF, test_size=0.2), "no test_size: did you mean test?"),
    (lambda _: _from(pd.DataFrame({
        "text": [f"a text that is longer than {n}" for n in range(20)],
        "label": pd.date_range("2026", periods=20)})),
     "nearly every row has one of its own, as dates and ids"),
    (lambda _: ta.Dataset.from_file(DF), "from_dataframe takes DataFrames"),
    (lambda _: ta.Dataset.from_file("tickets.xls"), "no such file"),
    (lambda _: ta.Dataset.from_lists(["a", "b"], ["x"]), "'text' has 2 rows"),
    (lambda _: ta.Dataset.from_lists("good", "abab"), "expected a list"),
    (lambda task: ta.TextTask("minilm", task.data), "mean minilm_l6?"),
    (lambda task: ta.TextTask(task.data, "minilm_l6"), "TextTask(encoder, da"),
    (lambda _: ta.TextTask("minilm_l6", DF), "a Dataset is wanted"),
    (lambda task: ta.TextTask("encoder", task.data, method="lora"),
     "LoraConfig"),
    (lambda task: ta.TextTask("encoder", task.data, adapter_size="small"),
     "an integer in the range"),
    (lambda task: ta.TextTask("encoder", task.data, adapter_size=0),
     "an integer in the range [1, "),
    (lambda task: ta.TextTask("encoder", task.data, max_length=1000),
     "positions for 40 wordpieces only"),
    (lambda task: ta.TextTask("encoder", task.data, pooling="max"),
     "one of pooler, cls, mean"),
    (lambda task: task.fit(task.data), "TextTask(encoder, data).fit()"),
    (lambda task: task.fit(DF), "takes no DataFrame: it trains on the data"),
    (lambda task: task.fit(lr=1), "no lr: did you mean learning_rate?"),
    (lambda task: task.fit(epoch=1), "no epoch: did you mean epochs?"),
    (lambda task: task.fit(epochs=0), "epochs must be"),
    (lambda task: task.fit(batch_size="32"), "batch_size must be"),
    (lambda task: task.fit(early_stopping=-1), "early_stopping must be"),
    (lambda task: task.fit(learning_rate="3e-4"), "must be a number in"),
    (lambda task: task.fit(class_weight="balance"), "there are 'balanced' and"),
    (lambda task: task.fit(class_weight={"c": 2}), "'c' is not one of a, b"),
    (lambda task: task.fit(class_weight=[1, 2]), "weights by label"),
    (lambda task: task.predict(DF), "one column, such as df["),
    (lambda task: task.predict(None), "a list of texts, not None"),
    (lambda task: task.evaluate(DF), "make a Dataset"),
    (lambda task: task.evaluate("tset"), "no tset split in lists; there is"),
    (lambda task: task.data.test, "hold rows out for one by test=0.15"),
    (lambda task: task.evaluate(_from(DF, label="other")),
     "the task's are a, b"),
    (lambda _: ta.TextTask.load("nowhere"), "there is no such folder"),
    (lambda _: ta.TextTask.load("runs/tickets"), "adapter is one"),
    (lambda _: ta.TextTask.load("encoder"), "it is an encoder"),
    (lambda _: ta.load_encoder(_ADAPTER), "is an adapter file, no enc"),
    (lambda _: ta.AdapterBank(_ADAPTER), "is an adapter file, no enco"),
    (lambda _: ta.AdapterBank("encoder", _ADAPTER), "a list of adapter files"),
    (lambda _: ta.AdapterBank("encoder", [_ADAPTER]).predict(
        ["good"], "tickets"), "there is adapter"),
    (lambda task: task.save("tickets.csv"), "is there already, and is no"),
    (lambda task: ta.export_model(task, "out"), "task.model of a TextTask"),
    (lambda task: ta.export_litert(task, "out.tflite"), "no model: a Keras mo"),
    (lambda task: ta.save_adapter(task, "out"), "their own save method"),
    (lambda task: ta.load_task("mprc"), "did you mean mrpc?"),
    (lambda task: ta.Dataset(DF), "from_dataframe(df, text="),
])
def test_in_a_notebook(folder, task, mistake, message):
  with pytest.raises(ta.InputError) as caught:
    mistake(task)
  assert message in str(caught.value)


def test_a_home_folder_is_found(monkeypatch, capfd):
  """A shell leaves ~ as it is behind a "="."""
  monkeypatch.setenv("HOME", "/nowhere")
  assert call(train, "--data=~/tickets.csv") == 1
  assert "/nowhere/tickets.csv: no such file" in capfd.readouterr().err
