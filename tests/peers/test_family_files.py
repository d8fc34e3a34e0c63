"""Files of other libraries for encoders that are no BERTs: logits of each.

They are written by write_family_files.py.
"""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

import tf_adapters as ta
from tests.peers.comparing import in_one_batch
from tests.peers.families import FOLDER, our_inputs, write_encoder
from tf_adapters.adapter_files import adapterhub_writer, peft_writer
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.checkpoints.loading import open_encoder
from tf_adapters.modeling.encoders.table import ENCODERS

FAMILIES = ("roberta", "xlm-roberta", "distilbert", "electra", "albert")
FILES = [path for library in ("adapterhub", "peft")
         for path in sorted((FOLDER / library).iterdir())]
WRITERS = {"adapterhub": adapterhub_writer, "peft": peft_writer}
LABELS = ["no", "yes", "maybe"]


def family_of(path):
  return next(family for family in FAMILIES
              if path.name.startswith(f"{family}-"))


def name_of(path):
  return f"{path.parent.name}/{path.name}"


def labels_of(path):
  is_labelled = path.parent.name == "peft" and "answers" not in path.name
  return LABELS if is_labelled else None


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
  """{family: its tiny encoder, opened}."""
  folder = tmp_path_factory.mktemp("families")
  return {family: open_encoder(write_encoder(family, folder / family))
          for family in FAMILIES}


@pytest.fixture(scope="module")
def golden():
  return dict(np.load(FOLDER / "logits.npz"))


# Making a model takes half a second: one of each kind of module and head.
IN_TIME = ("roberta-static", "roberta-ia3_answers", "roberta-lora_texts",
           "distilbert-parallel", "albert-pfeiffer", "albert-prefix")


@pytest.mark.parametrize("path", [
    pytest.param(path, id=name_of(path), marks=[] if path.name in IN_TIME
                 else pytest.mark.slow) for path in FILES])
def test_logits(encoders, golden, path):
  family = family_of(path)
  model = ta.load_adapter(
      path, encoders[family].source, labels=labels_of(path))
  inputs = our_inputs(family)
  assert_equal(np.asarray(model(inputs)), golden[name_of(path)], inputs)


def assert_equal(logits, expected, inputs):
  if expected.ndim == 3:  # of tokens
    tokens = inputs["input_mask"] == 1
    logits, expected = logits[tokens], expected[tokens]
  np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("family", [
    pytest.param(family, marks=[] if family == "roberta" else pytest.mark.slow)
    for family in FAMILIES])
def test_all_in_one_batch(encoders, golden, family):
  encoder = encoders[family].build()
  files = [open_adapter(path, labels_of(path)).on(encoder.config, "tiny", False)
           for path in FILES if family_of(path) == family]
  inputs = our_inputs(family)
  for file, found in zip(files, in_one_batch(encoder, files, inputs),
                         strict=True):
    expected = golden[name_of(file.path)]
    assert_equal(found[..., :expected.shape[-1]], expected, inputs)


@pytest.mark.parametrize("name,family,message", [
    ("adapterhub/roberta-static", "xlm-roberta",
     "for a model of RoBERTa, not for tiny, whose family is xlm-roberta"),
    ("peft/roberta-ia3_answers", "electra",
     "for a model of RoBERTa or XLM-RoBERTa, not for tiny"),
    ("adapterhub/electra-answers", "albert", "for a model of ELECTRA or BERT"),
    ("adapterhub/distilbert-lora", "bert", "for a model of DistilBERT")])
def test_encoders_of_other_families_are_refused(name, family, message):
  file = open_adapter(FOLDER / name, labels_of(FOLDER / name))
  config = ENCODERS[family].config(
      vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2)
  with pytest.raises(ta.InputError, match=message):
    file.on(config, "tiny", False)


def test_places_that_are_refused(tmp_path):
  """AdapterHub computes another function there than for BERT."""
  def refused(message, name, old, new):
    copy = tmp_path / name
    shutil.copytree(FOLDER / name, copy)
    path = copy / "adapter.safetensors"
    safetensors.numpy.save_file({
        key.replace(old, new): array for key, array
        in safetensors.numpy.load_file(path).items()}, path)
    with pytest.raises(ta.InputError, match=message):
      open_adapter(copy)

  refused("it changes encoder.albert_layer_groups.0.albert_layers.0.attention",
          "adapterhub/albert-pfeiffer", "0.output_adapters",
          "0.attention.attention_adapters")
  refused("it has prefixes in a DistilBERT", "adapterhub/distilbert-lora",
          "transformer.layer.0.attention.q_lin.loras.task.",
          "prefix_tuning.prefix_tunings.task.self.")


def test_heads_that_are_refused(tmp_path):
  """transformers' heads with other activations, and poolers that are not there.
  """
  def refused(message, name, path="head_config.json", inside="config",
              **values):
    copy = tmp_path / name
    shutil.copytree(FOLDER / name, copy, dirs_exist_ok=True)
    config = json.loads((copy / path).read_text())
    (config[inside] if inside else config).update(values)
    (copy / path).write_text(json.dumps(config))
    with pytest.raises(ta.InputError, match=message):
      open_adapter(copy, labels_of(copy))

  refused("ForSequenceClassification, which computes gelu between",
          "adapterhub/electra-answers", inside="",
          model_class="ElectraForSequenceClassification")
  refused("that of a DistilBertForSequenceClassification, which computes relu",
          "peft/distilbert-lora_answers", "adapter_config.json", "",
          task_type="SEQ_CLS")
  refused("ELECTRA has none in transformers", "adapterhub/electra-compacter",
          layers=1, use_pooler=True)
  refused("DistilBERT no pooler in whose place", "adapterhub/distilbert-lora",
          layers=2)
  refused("does not tell ELECTRA which text is the question",
          "peft/electra-lora_tags", "adapter_config.json", "",
          task_type="QUESTION_ANS")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_written_again_they_are_the_same(encoders, path, tmp_path):
  family = family_of(path)
  config = encoders[family].config
  file = open_adapter(path, labels_of(path)).on(config, "tiny", False)
  write = WRITERS[path.parent.name].files
  if family == "albert":
    with pytest.raises(ta.InputError, match="the same in all layers"):
      write(file.info, file.tensors(), ENCODERS[family])
    return
  (tmp_path / path.name).mkdir()
  for name, content in write(
      file.info, file.tensors(), ENCODERS[family]).items():
    (tmp_path / path.name / name).write_bytes(
        content.encode() if isinstance(content, str) else content)
  labels = LABELS if labels_of(path) else None
  again = open_adapter(tmp_path / path.name, labels).on(config, "tiny", False)
  ours = file.tensors()
  for name, array in again.tensors().items():
    np.testing.assert_allclose(array, ours[name], atol=1e-6, err_msg=name)
  assert again.info.labels == file.info.labels
  assert again.info.method == file.info.method
