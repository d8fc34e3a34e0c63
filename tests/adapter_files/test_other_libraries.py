"""Parts of AdapterHub's and PEFT's files that are read otherwise or refused."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import safetensors.numpy
import yaml

import tf_adapters as ta
from tests.hugging_face_hub import serving
from tests.peers import tiny_bert
from tests.tools.calling import call
from tf_adapters.adapter_files import adapterhub_writer
from tf_adapters.adapter_files.finding import find_adapter
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.modeling.encoders.bert import BERT
from tf_adapters.tools import (
    analyse,
    convert,
    evaluate,
    export,
    glue,
    inspect,
)

FOLDER = pathlib.Path(__file__).parents[1] / "peers"
LABELS = ["no", "yes", "maybe"]
CONFIG = ta.BertConfig(**{
    name: value for name, value in tiny_bert.CONFIG.items()
    if name != "model_type"})


@pytest.fixture
def copy(tmp_path):
  """Copies a file, with other values in one of its configurations."""
  def make(name, file="adapter_config.json", inside="", **changes):
    path = tmp_path / name.split("/")[1]
    shutil.copytree(FOLDER / name, path, dirs_exist_ok=True)
    values = json.loads((path / file).read_text())
    place = values[inside] if inside else values
    place.update(changes)
    for key in [key for key in place if place[key] is ...]:
      del place[key]
    (path / file).write_text(json.dumps(values))
    return path
  return make


def rename(path, *pairs):
  """Gives the tensors of a file other names."""
  file = path / "adapter.safetensors"
  tensors = safetensors.numpy.load_file(file)
  for old, new in pairs:
    tensors = {name.replace(old, new): array
               for name, array in tensors.items()}
  safetensors.numpy.save_file(tensors, file)


def tensors_of(path, labels=None):
  return dict(open_adapter(path, labels).on(CONFIG, "tiny", False).tensors())


def refused(path, message, labels=None):
  with pytest.raises(ta.InputError, match=message) as error:
    tensors_of(path, labels)
  assert str(error.value).startswith(str(path))
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes,message", [
    ({"use_gating": True}, "its use_gating is True"),
    ({"ln_after": True}, "its ln_after is True"),
    ({"original_ln_after": False}, "its original_ln_after is False"),
    ({"residual_before_ln": "post_add"}, "residual_before_ln is 'post_add'"),
    ({"inv_adapter": "nice"}, "its inv_adapter is 'nice'"),
    ({"non_linearity": "mish"}, "its non_linearity is 'mish'"),
    ({"scaling": "other"}, "its scaling is 'other'"),
    ({"scaling": "learned"}, "has no scaling"),
    ({"ln_before": True}, "has no adapter_down.1.weight"),
    ({"architecture": "reft"}, "its architecture is 'reft'"),
    ({"architecture": "prompt_tuning"}, "architecture is 'prompt_tuning'"),
    ({"architecture": "lora"}, "no tensors of its configuration's"),
    ({"phm_layer": True}, "has no phm_rule"),
])
def test_bottlenecks_that_are_refused(copy, changes, message):
  refused(copy("adapterhub_files/pfeiffer", inside="config", **changes),
          message)


@pytest.mark.parametrize("name,changes,message", [
    ("lora", {"use_dora": True}, "DoRA as AdapterHub defines it"),
    ("lora", {"vera_d": 0.1}, "its vera_d is 0.1"),
    ("lora", {"use_gating": True}, "its use_gating is True"),
    ("lora", {"composition_mode": "x"}, "its composition_mode is 'x'"),
    ("lora", {"r": 3}, "expected"),
    ("compacter", {"factorized_phm_rule": True}, "has no phm_rule_left"),
    ("compacter", {"factorized_phm_W": False}, "has no adapter_down.0.W of 3"),
    ("compacter", {"shared_W_phm": True}, "has no W_down_left of 3"),
    ("compacter", {"phm_dim": 2}, "its phm_rule has shape .* phm_dim 2"),
    ("compacter", {"shared_phm_rule": False}, "its shared_phm_rule is False"),
    ("compacter", {"scaling": 4.0}, "a Compacter that is parallel, scaled"),
    ("prefix_flat", {"prefix_length": 5}, "do not fit prefix_length 5"),
    ("prefix_flat", {"use_gating": True}, "its use_gating is True"),
    ("prefix_network", {"non_linearity": "gelu"}, "non_linearity is 'gelu'"),
])
def test_other_methods_that_are_refused(copy, name, changes, message):
  refused(copy(f"adapterhub_files/{name}", inside="config", **changes), message)


@pytest.mark.parametrize("changes,message", [
    ({"head_type": "masked_lm"}, "its head is of type 'masked_lm'"),
    ({"layers": 3}, "its head has 3 layers"),
    ({"use_pooler": True}, "has 2 layers behind BERT's pooler"),
    ({"activation_function": "relu"}, "activation_function is 'relu'"),
    ({"label2id": {"a": 0, "b": 2, "c": 1, "d": 3}}, "has 3 outputs, not 4"),
    ({"label2id": {"a": 0, "b": 0, "c": 1}}, "does not number its labels"),
    ({"label2id": None}, "does not say what its 3 labels are called"),
])
def test_heads_that_are_refused(copy, changes, message):
  refused(copy("adapterhub_files/pfeiffer", "head_config.json", "config",
               **changes), message)


def test_what_else_is_refused(copy, tmp_path):
  def hub(**changes):
    return copy("adapterhub_files/pfeiffer", **changes)

  refused(hub(model_type="deberta"), "a model of type 'deberta'")
  refused(hub(model_type="roberta"), "it changes bert.encoder.layer.0.output")
  refused(hub(hidden_size=64), "hidden_size 64, not 32 as tiny has")
  path = hub()
  rename(path, ("layer.1.", "layer.2."))
  refused(path, "no tensors of output in layer 1")
  with pytest.raises(ta.InputError, match="num_hidden_layers 2, not 3"):
    open_adapter(hub()).on(ta.BertConfig(**{
        **CONFIG.to_dict(), "num_hidden_layers": 3}), "tiny", False)
  for old, new, message in (
      ("adapters.task", "refts.task", "it holds refts"),
      ("encoder.layer.0.output.adapters", "invertible_adapters",
       "it holds invertible adapters"),
      ("adapters.task", "adapters.other", "no tensors of its configuration's"),
      ("layer.1.output.adapters", "layer.1.other", "which is not read"),
      ("output.adapters", "output.dense.adapters",
       "it changes encoder.layer.0.output.dense")):
    shutil.rmtree(path)
    path = hub()
    rename(path, (old, new))
    refused(path, message)
  shutil.rmtree(path)
  path = hub()
  (path / "head_config.json").unlink()
  refused(path, "has no head: .*language adapters")


@pytest.mark.parametrize("changes,message", [
    ({"peft_type": "PREFIX_TUNING"}, "which moves the positions"),
    ({"peft_type": "VERA"}, "its peft_type is VERA"),
    ({"lora_bias": True}, "its lora_bias is True"),
    ({"kasa_config": {"beta": 1}}, "its kasa_config is"),
    ({"not_yet_known": 3}, "its not_yet_known is 3"),
    ({"init_lora_weights": "pissa"}, "changes the encoder's own weights"),
    ({"alpha_pattern": {"(a|a)*$": 3}}, "more than the end of a name"),
    ({"use_dora": True}, "has not all tensors"),
    ({"task_type": "QUESTION_ANS"}, "which text is the question"),
    ({"task_type": None}, "has no head: task_type is None"),
    ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
])
def test_peft_files_that_are_refused(copy, changes, message):
  refused(copy("peft_files/lora", **changes), message, LABELS)


def test_peft_files_that_name_modules_of_lower_layers(copy):
  path = copy("peft_files/lora", target_modules=[
      f"encoder.layer.0.attention.self.{name}" for name in ("query", "value")])
  file = path / "adapter_model.safetensors"
  safetensors.numpy.save_file({
      name: array for name, array in safetensors.numpy.load_file(file).items()
      if ".layer.1." not in name}, file)
  found = open_adapter(path, LABELS).on(CONFIG, "tiny", False)
  assert found.info.method.layers == (0,)
  assert not any("layer_1/" in name for name in found.tensors())


@pytest.mark.parametrize("name", ["output", "attention", "adapters", "0"])
def test_adapters_of_adapterhub_that_are_called_as_a_module(copy, name):
  expected = tensors_of(copy("adapterhub_files/pfeiffer"))
  path = copy("adapterhub_files/pfeiffer")
  for file in path.glob("*.json"):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": name}))
  for file in path.glob("*.safetensors"):
    safetensors.numpy.save_file({
        key.replace(".task.", f".{name}."): array for key, array
        in safetensors.numpy.load_file(file).items()}, file)
  found = tensors_of(path)
  assert found.keys() == expected.keys()
  for key, array in expected.items():
    np.testing.assert_array_equal(found[key], array, key)


@pytest.mark.parametrize("inside", ["bert.", ""])
def test_a_peft_file_without_a_head(copy, tmp_path, inside):
  """Of a model with a head that is not saved, and of one that has none."""
  encoder = tiny_bert.write_encoder(tmp_path / "bert")
  path = copy("peft_files/lora", task_type=None)
  file = path / "adapter_model.safetensors"
  safetensors.numpy.save_file({
      name.replace("bert.", inside): array for name, array
      in safetensors.numpy.load_file(file).items() if "classifier" not in name
  }, file)
  refused(path, "has no head: task_type is None.*ta.load_adapted_encoder")
  adapted = ta.load_adapted_encoder(path, encoder)
  assert adapted.tuning == "adapters"
  whole = ta.load_adapter(FOLDER / "peft_files/lora", encoder, labels=LABELS)
  for name, variable in whole.encoder.named_variables().items():
    np.testing.assert_array_equal(
        adapted.named_variables()[name], variable, name)
  model = ta.TextClassifier(adapted, ["no", "yes"], pooling="pooler")
  ta.convert_adapter(ta.save_adapter(model, tmp_path / "ours"),
                     tmp_path / "again", "peft")


def test_files_are_loaded_without_their_heads(copy, tmp_path):
  """AdapterHub's that have none, and those of all libraries that have one."""
  encoder = tiny_bert.write_encoder(tmp_path / "bert")
  hub, peft = FOLDER / "adapterhub_files/pfeiffer", FOLDER / "peft_files/pooler"
  path = copy("adapterhub_files/pfeiffer")
  for file in path.glob("*head*"):
    file.unlink()
  refused(path, "has no head.*language adapters.*ta.load_adapted_encoder")
  # AdapterHub's default head has a layer in the place of the pooler.
  hub_model = ta.load_adapter(hub, encoder)
  assert "pooler_transform/kernel" in hub_model.encoder.changed_variables()
  ta.save_adapter(hub_model, tmp_path / "ours")
  for file in (path, hub, tmp_path / "ours"):
    adapted = ta.load_adapted_encoder(file, encoder)
    assert not adapted.changed_variables()
    for name, variable in adapted.named_variables().items():
      if not name.startswith("pooler_transform/"):
        np.testing.assert_array_equal(
            hub_model.encoder.named_variables()[name], variable, name)
  assert not ta.load_adapted_encoder(peft, encoder).changed_variables()


def test_what_cannot_go_back_says_how_to_train_it(tmp_path):
  encoder = ta.load_encoder(tiny_bert.write_encoder(tmp_path / "bert"),
                            ta.AdapterConfig(size=2))
  ta.save_adapter(ta.TextClassifier(encoder, ["a", "b"], pooling="mean"),
                  tmp_path / "ours")
  with pytest.raises(ta.InputError, match=(
      r'tune it with "adapters-layer_norms"; its head pools by \'mean\'.*'
      r'TextClassifier\(\.\.\., pooling="pooler"\), or --pooling=pooler')):
    ta.convert_adapter(tmp_path / "ours", tmp_path / "x", "adapterhub")
  with pytest.raises(ta.InputError, match='by a pooler: train it with TextCla'):
    ta.convert_adapter(tmp_path / "ours", tmp_path / "x", "peft")


def test_labels(copy):
  path = FOLDER / "peft_files/lora"
  refused(path, r'labels=\["no", "yes"\] or --labels=no,yes')
  refused(path, "has 3 outputs, not 2", ["a", "b"])
  refused(FOLDER / "adapterhub_files/houlsby", "labels of its own", ["a"] * 3)
  unnamed = FOLDER / "adapterhub_files/no_labels"
  assert open_adapter(unnamed).info.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
  assert open_adapter(unnamed, LABELS).info.labels == tuple(LABELS)


def test_old_files_of_adapterhub(copy):
  """Their names and values mean what they meant then."""
  new = tensors_of(FOLDER / "adapterhub_files/pfeiffer")
  path = copy("adapterhub_files/pfeiffer", version=..., type="text_task")
  values = json.loads((path / "adapter_config.json").read_text())
  values["config"] |= {"non_linearity": "gelu", "inv_adapter": "nice",
                       "invertible_adapter": {"block_type": "nice"}}
  (path / "adapter_config.json").write_text(json.dumps(values))
  rename(path, ("output.adapters", "output.layer_text_task_adapters"))
  assert open_adapter(path).info.method.activation == "gelu_tanh"
  for name, array in tensors_of(path).items():
    np.testing.assert_array_equal(array, new[name])
  values["version"] = "2.0.0"
  values["config"] |= {"inv_adapter": None, "invertible_adapter": None}
  (path / "adapter_config.json").write_text(json.dumps(values))
  assert open_adapter(path).info.method.activation == "gelu"


@pytest.mark.parametrize("version,scale", [
    ("adapters.1.0.1", 1.0), ("adapters.1.1.0", 3.0), ("3.2.1", 3.0)])
def test_scale_of_old_lora(copy, version, scale):
  info = open_adapter(copy("adapterhub_files/lora", version=version)).info
  assert info.method.scale == scale


def test_encoders_that_are_nowhere(copy):
  for source in ("", "C:\\bert", None):
    path = copy("adapterhub_files/lora", model_name=source)
    with pytest.raises(ta.InputError, match="which is not here: give it"):
      ta.load_adapter(path)


def test_repositories_of_the_hub(copy, tmp_path):
  pytest.importorskip("huggingface_hub")
  encoder = tiny_bert.write_encoder(tmp_path / "bert")
  with serving(tmp_path / "cache") as hub:
    hub.upload("org/tiny", encoder)
    hub.upload("me/named", copy(
        "peft_files/lora", base_model_name_or_path="org/tiny"))
    for name in ("adapterhub_files/lora", "adapterhub_files/static",
                 "peft_files/lora", "peft_files/pooler"):
      hub.upload(f"me/{name.replace('/', '-')}", FOLDER / name)
    with pytest.raises(ta.InputError, match="only if you give it yourself"):
      ta.load_adapter("hf://me/adapterhub_files-lora")
    ta.load_encoder("hf://org/tiny")
    for name in ("adapterhub_files-lora", "adapterhub_files-static",
                 "peft_files-lora", "peft_files-pooler"):
      folder = find_adapter(f"hf://me/{name}")
      assert sorted(path.name for path in folder.iterdir()) == sorted(
          path.name for path in (FOLDER / name.replace("-", "/")).iterdir())
    # The encoder is in the cache by now.
    assert ta.load_adapter(
        "hf://me/named", labels=LABELS).task.labels == tuple(LABELS)


def test_an_encoder_with_another_activation_is_a_warning(recwarn):
  file = open_adapter(FOLDER / "adapterhub_files/lora")
  file.on(CONFIG, "tiny", False)
  assert not recwarn
  file.on(ta.BertConfig(**{**CONFIG.to_dict(), "hidden_act": "gelu_tanh"}),
          "tiny", False)
  assert "does not say its encoder's activation" in str(recwarn[0].message)


def test_command_line(tmp_path, capsys):
  encoder = tiny_bert.write_encoder(tmp_path / "bert")
  hub, peft = FOLDER / "adapterhub_files/lora", FOLDER / "peft_files/lora"
  assert call(inspect, f"--adapter={hub}") == 0
  assert "no, yes, maybe" in capsys.readouterr().out
  assert call(inspect, f"--adapter={peft}") == 1
  assert "--labels=no,yes" in capsys.readouterr().err
  assert call(inspect, f"--adapter={peft}", "--labels=no,yes,maybe") == 0
  for tool, arguments, message in (
      (inspect, [f"--adapter={hub}", "--do_lower_case"],
       "--do_lower_case: for --encoder only"),
      (inspect, [f"--encoder={encoder}", "--labels=a,b"],
       "--labels: for --adapter only"),
      (export, [f"--adapter={hub}", "--nodo_lower_case",
                f"--output={tmp_path / 'x'}"],
       "--do_lower_case: for several tasks")):
    assert call(tool, *arguments) == 1
    assert message in capsys.readouterr().err
  for arguments, message in (
      (["--to=peft"], "--to: for --adapter only"),
      ([f"--adapter={hub}", "--to=peft", "--vocab_file=v"],
       "--vocab_file: for --encoder without --adapter only"),
      ([f"--adapter={hub}"], "--to must be given"),
      ([f"--adapter={hub}", "--to=tf_adapters"], "was made for the encoder at "
       "hf://bert-base-uncased, which is fetched only if you give it"),
      ([f"--adapter={hub}", "--to=peft", f"--encoder={encoder}"],
       "cannot be written for peft: its head pools by 'cls'")):
    assert call(convert, *arguments, f"--output={tmp_path / 'x'}") == 1
    assert message in capsys.readouterr().err
  arguments = [f"--adapter={peft}", "--labels=no,yes,maybe",
               f"--encoder={encoder}", "--to=adapterhub",
               f"--output={tmp_path / 'hub'}"]
  assert call(convert, *arguments) == 0
  assert call(convert, *arguments) == 1
  assert "hub: is there already" in capsys.readouterr().err
  assert call(convert, *arguments, "--overwrite") == 0
  assert call(convert, f"--adapter={tmp_path / 'hub'}", "--to=tf_adapters",
              f"--encoder={encoder}", f"--output={tmp_path / 'ours'}") == 0
  assert open_adapter(tmp_path / "ours").info.labels == tuple(LABELS)
  model = ta.load_adapter(tmp_path / "ours")
  np.testing.assert_allclose(
      model({f"input_{ours}": tiny_bert.INPUTS[theirs].astype(np.int32)
             for ours, theirs in (
                 ("word_ids", "input_ids"), ("mask", "attention_mask"),
                 ("type_ids", "token_type_ids"))}),
      np.load(FOLDER / "peft_files/logits.npz")["lora"], atol=1e-5)


def test_cards_of_written_files(tmp_path):
  """Cards name what the Hub reads, and code for the encoder's own function."""
  encoder = tiny_bert.write_encoder(tmp_path / "bert")
  config = json.loads((encoder / "config.json").read_text())
  (encoder / "config.json").write_text(json.dumps(
      config | {"hidden_act": "gelu_new"}))
  with pytest.warns(match='load them with hidden_act="gelu_new", as the'):
    ta.convert_adapter(FOLDER / "peft_files/pooler", tmp_path / "peft", "peft",
                       encoder, LABELS)
  _, head, card = (tmp_path / "peft/README.md").read_text().split("---\n")
  assert yaml.safe_load(head) == {
      "library_name": "peft", "tags": ["adapter"],
      "base_model": "bert-base-uncased", "base_model_relation": "adapter",
      "pipeline_tag": "text-classification"}
  assert "    'bert-base-uncased', hidden_act=\"gelu_new\", num_labels=3" in (
      card)
  opened = open_adapter(FOLDER / "adapterhub_files/pooler").on(
      CONFIG, "hf://google-bert/bert-base-uncased@main", False)
  written = adapterhub_writer.files(opened.info, opened.tensors(), BERT)
  assert "from_pretrained('google-bert/bert-base-uncased')" in (
      written["README.md"])
  assert "base_model: google-bert/bert-base-uncased\n" in written["README.md"]
  assert "library_name: adapter-transformers\n" in written["README.md"]
  assert json.loads(written["adapter_config.json"])["model_name"] == (
      "google-bert/bert-base-uncased")


def test_a_folder_has_the_name_that_a_file_gave_it(tmp_path):
  """In files and cards for others; it is found by its path all the same."""
  encoder = tiny_bert.write_encoder(tmp_path / "bert")
  model = ta.load_adapter(FOLDER / "adapterhub_files/lora", encoder)
  ours = ta.save_adapter(model, tmp_path / "ours")
  again = ta.save_adapter(ta.load_adapter(ours), tmp_path / "again")
  assert open_adapter(again).info.encoder["source"] == str(encoder)
  hub = ta.convert_adapter(again, tmp_path / "hub", "adapterhub")
  values = json.loads((hub / "adapter_config.json").read_text())
  assert values["model_name"] == "bert-base-uncased"
  for path in (again, hub):
    card = (path / "README.md").read_text()
    assert "base_model: bert-base-uncased\n" in card
    assert str(tmp_path) not in card
  new = ta.TextClassifier(ta.load_encoder(encoder, ta.LoraConfig(rank=2)),
                          ["a", "b"], pooling="pooler")
  unnamed = ta.save_adapter(new, tmp_path / "new")
  theirs = ta.convert_adapter(unnamed, tmp_path / "peft", "peft")
  for path, code in ((unnamed, "the encoder bert (a folder), tuned with"),
                     (theirs, "'path/to/its/encoder', num_labels=2")):
    card = (path / "README.md").read_text()
    assert code in card
    assert str(tmp_path) not in card


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
  """The encoder, and a folder of texts with labels of the files."""
  folder = tmp_path_factory.mktemp("labelled")
  encoder = tiny_bert.write_encoder(folder / "bert")
  rng = np.random.default_rng(0)
  # As many positions as runs cut texts to.
  (encoder / "config.json").write_text(json.dumps(
      tiny_bert.CONFIG | {"max_position_embeddings": 128}))
  safetensors.numpy.save_file(tiny_bert.base_tensors() | {
      "embeddings.position_embeddings.weight":
      rng.normal(size=(128, 32)).astype(np.float32)},
                              encoder / "model.safetensors")
  for name in ("train", "dev"):
    (folder / f"{name}.tsv").write_text("text\tlabel\n" + "".join(
        f"{' '.join(rng.choice(list('abcdef'), 3))}\t{LABELS[row % 3]}\n"
        for row in range(24)))
  return encoder, folder


def test_comparing(capsys):
  hub, peft = FOLDER / "adapterhub_files/lora", FOLDER / "peft_files/lora"
  assert ta.compare_adapters(hub, hub).total.cosine == pytest.approx(1)
  comparison = ta.compare_adapters(hub, peft, LABELS)
  assert comparison.settings["pooling"] == ("cls", "pooler")
  assert "transformer/layer_1/query_lora" in comparison.parts
  assert call(inspect, f"--adapter={hub}", f"--compare_with={peft}",
              "--labels=no,yes,maybe") == 0
  assert "transformer/layer_1/query_lora" in capsys.readouterr().out
  with pytest.raises(ta.InputError, match="write it as a file of this one"):
    ta.average_adapters([hub, hub], "mean")


def test_evaluation(labelled, tmp_path, capfd):
  encoder, folder = labelled
  command = [f"--adapter={FOLDER / 'peft_files/lora'}", "--text_column=text",
             f"--data={folder / 'dev.tsv'}", "--label_column=label",
             f"--output={tmp_path / 'picture.svg'}"]
  assert call(evaluate, *command) == 1
  assert "does not say what its 3 labels are called" in capfd.readouterr().err
  command.append("--labels=no,yes,maybe")
  assert call(evaluate, *command) == 1
  assert "which is fetched only if you give it" in capfd.readouterr().err
  assert call(evaluate, *command, f"--encoder={encoder}") == 0
  assert "24 rows: accuracy" in capfd.readouterr().out


@pytest.mark.slow
def test_analysis_and_runs(labelled, tmp_path, capfd):
  encoder, folder = labelled
  adapter = FOLDER / "adapterhub_files/houlsby"
  command = ["--task_name=tsv", f"--data_dir={folder}", f"--encoder={encoder}"]
  analysis = [*command, f"--adapter={adapter}",
              f"--output_dir={tmp_path / 'a'}"]
  assert call(analyse, *analysis, f"--save_pruned={tmp_path / 'pruned'}") == 1
  assert "write it as a file of this one first" in capfd.readouterr().err
  assert call(analyse, *analysis) == 0
  whole = json.loads((tmp_path / "a/ablation.json").read_text())["prunings"][
      "none"]["metrics"]["validation"]["accuracy"]
  run = [*command, f"--load_adapter={adapter}", "--do_eval",
         f"--output_dir={tmp_path / 'run'}"]
  assert call(glue, *run) == 0
  results = json.loads((tmp_path / "run/results.json").read_text())
  assert results["metrics"]["validation"]["accuracy"] == whole
  run[-1] = f"--output_dir={tmp_path / 'other'}"
  run[3] = f"--load_adapter={FOLDER / 'peft_files/lora'}"
  assert call(glue, *run) == 1
  assert "--to=tf_adapters writes a file that has them" in (
      capfd.readouterr().err)


def without(path, part):
  """Takes tensors out of a file whose names have a part."""
  (file,) = path.glob("adapter*.safetensors")
  tensors = safetensors.numpy.load_file(file)
  assert any(part in name for name in tensors)
  safetensors.numpy.save_file(
      {name: array for name, array in tensors.items() if part not in name},
      file)
  return path


@pytest.mark.parametrize("name, part, message", [
    ("adapterhub_files/ia3", "layer.0.", "no tensors of key in layer 0"),
    ("adapterhub_files/ia3", ".key.", "no tensors of key in layer 0"),
    ("adapterhub_files/ia3", "layer.1.attention.self.value",
     "no tensors of value in layer 1"),
    ("adapterhub_files/lora", ".query.", "no tensors of query in layer 0"),
    ("adapterhub_files/pfeiffer", "layer.0.", "of output in layer 0"),
    ("peft_files/lora", "layer.1.attention.self.query",
     "of query in layer 1, which its target_modules name"),
    ("peft_files/ia3", "layer.0.attention.self.key", "of key in layer 0"),
    ("peft_files/ia3", ".self.key.", "of key in layer 0")])
def test_files_that_lack_what_their_configuration_names(
    copy, name, part, message):
  refused(without(copy(name), part), message, LABELS if "peft" in name else
          None)


def test_a_layer_of_peft_may_be_a_number(copy):
  for given in ([0], 0):
    path = without(
        copy("peft_files/lora", layers_to_transform=given), "layer.1.")
    assert not any("layer_1/" in name for name in tensors_of(path, LABELS))


def test_a_head_on_a_pooler_that_no_file_has(copy, tmp_path):
  for path, labels in ((copy("adapterhub_files/pooler"), None),
                       (copy("peft_files/lora"), LABELS)):
    file = open_adapter(path, labels)
    own = "pooler_transform/kernel" in file.foreign.tensors
    if own:
      file.on(CONFIG, "tiny", True)
    else:
      with pytest.raises(ta.InputError, match="tiny has no pooler: there it was"
                         " drawn at random"):
        file.on(CONFIG, "tiny", True)
    # Whoever puts another head there does not need it.
    open_adapter(path, with_head=False).on(CONFIG, "tiny", True)
  assert own is False


@pytest.fixture
def electra(one_layer_source, tmp_path):
  """A discriminator whose embeddings are as wide as its layers: a BERT here."""
  folder = shutil.copytree(one_layer_source, tmp_path / "electra")
  config = json.loads((folder / "config.json").read_text())
  (folder / "config.json").write_text(json.dumps({
      **config, "model_type": "electra", "hidden_act": "gelu",
      "embedding_size": config["hidden_size"]}))
  file = folder / "model.safetensors"
  safetensors.numpy.save_file({
      f"electra.{name.removeprefix('bert.')}": array
      for name, array in safetensors.numpy.load_file(file).items()
      if "pooler" not in name}, file)
  return folder


def test_a_wide_electra_is_one_in_other_libraries(electra, tmp_path):
  encoder = ta.load_encoder(str(electra), ta.LoraConfig(rank=2))
  assert encoder.family == "bert"
  ta.save_adapter(ta.TextClassifier(
      encoder, ["a", "b"], pooling="pooler"), tmp_path / "ours")
  path = ta.convert_adapter(tmp_path / "ours", tmp_path / "hub", "adapterhub")
  about = json.loads((path / "adapter_config.json").read_text())
  assert (about["model_type"], about["model_class"]) == (
      "electra", "ElectraAdapterModel")
  tensors = safetensors.numpy.load_file(path / "adapter.safetensors")
  assert all(name.startswith("electra.") for name in tensors)
  # The pooler that no file has is the identity.
  head = safetensors.numpy.load_file(path / "model_head.safetensors")
  np.testing.assert_array_equal(head["heads.ours.1.weight"], np.eye(32))
  again = ta.load_adapter(path, str(electra))
  inputs = {name: np.ones([1, 5], np.int32) for name in (
      "input_word_ids", "input_mask", "input_type_ids")}
  np.testing.assert_allclose(
      again(inputs), ta.load_adapter(tmp_path / "ours")(inputs), atol=1e-6)


def test_an_encoder_that_is_not_there_is_taken_for_a_usual_one(
    one_layer_source, tmp_path):
  source = shutil.copytree(one_layer_source, tmp_path / "bert")
  ta.save_adapter(ta.TextClassifier(ta.load_encoder(
      str(source), ta.LoraConfig(rank=2)), ["a", "b"], pooling="pooler"),
                  tmp_path / "ours")
  expected = ta.convert_adapter(tmp_path / "ours", tmp_path / "peft", "peft")
  shutil.rmtree(source)
  with pytest.warns(UserWarning, match="encoder was not looked at.*bert"):
    path = ta.convert_adapter(tmp_path / "ours", tmp_path / "again", "peft")
  for file in expected.iterdir():
    assert (path / file.name).read_bytes() == file.read_bytes()
  with pytest.raises(ta.InputError, match="bert"):
    ta.convert_adapter(tmp_path / "ours", tmp_path / "x", "peft", source)


def test_an_encoder_of_other_sizes_is_refused(
    one_layer_source, electra, tmp_path):
  ta.save_adapter(ta.TextClassifier(ta.load_encoder(
      str(one_layer_source), ta.LoraConfig(rank=2)), ["a", "b"],
                                    pooling="pooler"), tmp_path / "ours")
  config = json.loads((electra / "config.json").read_text())
  (electra / "config.json").write_text(json.dumps({
      **config, "num_attention_heads": 1}))
  with pytest.raises(ta.InputError, match="of other sizes than"):
    ta.convert_adapter(tmp_path / "ours", tmp_path / "x", "peft", electra)


@pytest.mark.parametrize("name, there", [
    ("type", "type_"), ("values", "values_"), ("x.y", "x_y")])
def test_names_that_modules_of_torch_have(
    one_layer_source, tmp_path, name, there):
  ta.save_adapter(ta.TextClassifier(ta.load_encoder(
      str(one_layer_source), ta.LoraConfig(rank=2)), ["a", "b"],
                                    pooling="cls"), tmp_path / name)
  path = ta.convert_adapter(tmp_path / name, tmp_path / "hub", "adapterhub")
  about = json.loads((path / "adapter_config.json").read_text())
  assert about["name"] == there
  assert ta.load_adapter(path, str(one_layer_source)).labels == ("a", "b")
