"""Files that AdapterHub 1.3 and PEFT 0.21 wrote give these libraries' logits.

They are written by write_adapterhub_files.py and write_peft_files.py.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tf_adapters as ta
from tests.peers import comparing
from tf_adapters.adapter_files.adapterhub_writer import files as adapterhub
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.peft_writer import files as peft
from tf_adapters.modeling.encoders.bert import BERT

FOLDER = pathlib.Path(__file__).parent
FILES = [path for library in ("adapterhub", "peft")
         for path in sorted((FOLDER / f"{library}_files").iterdir())
         if path.is_dir()]
LABELS = ["no", "yes", "maybe"]
NOT_IN_BANKS = ("bias", "all_biases")  # they change what all tasks share


def name_of(path):
  return f"{path.parent.name[:4]}-{path.name}"


def labels_of(path):
  """Labels to give for a file that has none."""
  if path.name in ("regression", "answers"):
    return None
  says_none = path.parent.name == "peft_files" or path.name == "no_labels"
  return LABELS if says_none else None


@pytest.fixture(scope="module")
def golden():
  return {name_of(folder / name): array
          for folder in (FOLDER / "adapterhub_files", FOLDER / "peft_files")
          for name, array in np.load(folder / "logits.npz").items()}


def assert_equal(logits, golden):
  if golden.ndim == 3:  # of tokens
    tokens = comparing.our_inputs()["input_mask"] == 1
    logits, golden = np.asarray(logits)[tokens], golden[tokens]
  np.testing.assert_allclose(logits, golden, atol=1e-5)


# One of each kind; making a model takes half a second.
@pytest.mark.parametrize("path", [
    pytest.param(path, id=name_of(path), marks=[] if path.name in (
        "mam", "prefix_network", "channel_scaling", "sizes", "static",
        "answers", "static_tagging", "patterns", "dora", "all_biases", "ia3",
        "some_layer_norms", "pooler") else pytest.mark.slow)
    for path in FILES])
def test_alone(source, path, golden):
  model = ta.load_adapter(path, source, labels=labels_of(path))
  assert_equal(model(comparing.our_inputs()), golden[name_of(path)])
  if model.task.labels:
    assert model.task.labels == tuple(LABELS)


def test_all_in_one_batch(source, golden):
  encoder = ta.load_encoder(source)
  files = [open_adapter(path, labels_of(path)).on(encoder.config, "tiny", False)
           for path in FILES if path.name not in NOT_IN_BANKS]
  logits = comparing.in_one_batch(encoder, files, comparing.our_inputs())
  for file, found in zip(files, logits, strict=True):
    expected = golden[name_of(file.path)]
    assert_equal(found[..., :expected.shape[-1]], expected)


def test_a_bank_takes_files_of_all_libraries(source):
  hub, peft_files = FOLDER / "adapterhub_files", FOLDER / "peft_files"
  bank = ta.AdapterBank(source, {"mood": hub / "pfeiffer"})
  assert bank.add(peft_files / "pooler", labels=LABELS) == "pooler"
  assert bank.info("pooler").labels == tuple(LABELS)
  for path, labels, message in (
      (peft_files / "lora", None, "does not say what its 3 labels"),
      (peft_files / "lora", "abc", "a list of names"),
      (peft_files / "lora", ["a", "b"], "has 3 outputs, not 2"),
      (hub / "houlsby", ["a", "b", "c"], "labels of its own, no, yes, maybe"),
      (peft_files / "bias", LABELS, "a bank holds adapters"),
      (peft_files / "all_biases", LABELS, "a bank holds adapters")):
    with pytest.raises(ta.InputError, match=message):
      bank.add(path, "new", labels)
  mood, other = (ta.load_adapter(path, source, labels=labels)
                 for path, labels in ((hub / "pfeiffer", None),
                                      (peft_files / "pooler", LABELS)))
  text = mood.encoder.text_processor(24)(["a b c"])
  for name, model in (("mood", mood), ("pooler", other)):
    np.testing.assert_allclose(
        list(bank.predict_proba(["a b c"], name)[0].values()),
        tf.nn.softmax(model(text))[0], atol=1e-5)


def test_saved_they_are_files_of_ours(source, tmp_path, golden):
  path = FOLDER / "adapterhub_files/pfeiffer"
  ta.save_adapter(ta.load_adapter(path, source), tmp_path / "ours")
  model = ta.load_adapter(tmp_path / "ours")
  assert_equal(model(comparing.our_inputs()), golden["adap-pfeiffer"])
  assert model.task.name == "task"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_written_again_they_are_the_same(source, path, tmp_path):
  """A file that is read, and written again, is read alike.
  """
  config = ta.BertConfig(**{
      name: value for name, value in comparing.tiny_bert.CONFIG.items()
      if name != "model_type"})
  file = open_adapter(path, labels_of(path)).on(config, "tiny", False)
  write = adapterhub if path.parent.name == "adapterhub_files" else peft
  if path.name in NOT_IN_BANKS:
    with pytest.raises(ta.InputError, match="other weights of the encoder"):
      write(file.info, file.tensors(), BERT)
    return
  folder = tmp_path / path.name
  folder.mkdir()
  for name, content in write(
      file.info, file.tensors(), BERT).items():
    (folder / name).write_bytes(
        content.encode() if isinstance(content, str) else content)
  labels = labels_of(path) if write is peft else None
  again = open_adapter(folder, labels).on(config, "tiny", False)
  ours = file.tensors()
  for name, array in again.tensors().items():
    np.testing.assert_allclose(array, ours[name], atol=1e-6, err_msg=name)
  assert again.info.labels == file.info.labels
  assert again.info.method == file.info.method
