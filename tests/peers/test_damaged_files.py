"""Files of other libraries that are damaged end in one line, whatever it is."""

import json
import pathlib
import random
import shutil

import numpy as np
import pytest

import tf_adapters as ta
from tests.peers import tiny_bert
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.modeling.encoders.table import ENCODERS

FOLDER = pathlib.Path(__file__).parent
CONFIG = ta.BertConfig(**{
    name: value for name, value in tiny_bert.CONFIG.items()
    if name != "model_type"})
LABELS = ["no", "yes", "maybe"]
FILES = [FOLDER / "adapterhub_files" / name for name in (
    "houlsby", "prefix_flat", "compacter", "lora_all", "static")] + [
        FOLDER / "peft_files" / name for name in (
            "patterns", "lora_all", "ia3", "layer_norms")] + [
                FOLDER / "family_files" / name for name in (
                    "adapterhub/roberta-static", "adapterhub/albert-prefix",
                    "adapterhub/electra-compacter", "peft/roberta-lora_texts",
                    "peft/albert-norms_texts")]
SIZES = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 12}
ODD = [None, True, -1, 0, 1e400, "", "x" * 300, [], {}, [[]], {"a": None},
       ["\ud800"], 10 ** 30, "gelu", 2.5]


def config_of(whole):
  """The architecture of the encoder that a file is for."""
  family = whole.name.partition("-")[0]
  if family not in ENCODERS:
    return CONFIG
  narrow = {} if family == "roberta" else {"embedding_size": 4}
  return ENCODERS[family].config(**SIZES, **narrow)


def read(path, config):
  """Reads all of a file, as it is and on its encoder."""
  labels = LABELS if path.parent.name.startswith("peft") else None
  try:
    file = open_adapter(path, labels)
  except ta.InputError as error:
    if "labels of its own" not in str(error):
      raise
    file = open_adapter(path)
  file.shapes()
  return dict(file.on(config, "tiny", False).tensors())


def with_other_values(content, rng):
  """JSON in which values are others."""
  values = json.loads(content)
  for _ in range(rng.randrange(1, 4)):
    inside = values
    while True:
      name = rng.choice(list(inside))
      if not isinstance(inside[name], dict) or not inside[name] or (
          rng.random() < 0.3):
        break
      inside = inside[name]
    if rng.random() < 0.3:
      del inside[name]
    else:
      inside[name] = rng.choice(ODD)
    if not inside:
      break
  return json.dumps(values).encode()


def damaged(content, rng):
  content = bytearray(content)
  place = rng.randrange(len(content))
  match rng.randrange(4):
    case 0:
      del content[place:]
    case 1:
      content[place] = rng.randrange(256)
    case 2:
      content[place:place] = rng.randbytes(rng.randrange(1, 30))
    case 3:
      del content[place:place + rng.randrange(1, 30)]
  return bytes(content)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_whole_they_are_read(path):
  assert read(path, config_of(path))


@pytest.mark.parametrize("count", [
    280, pytest.param(3000, marks=pytest.mark.slow)])
def test_one_line_for_each(tmp_path, count):
  rng = random.Random(count)
  refused = 0
  for number in range(count):
    whole = FILES[number % len(FILES)]
    path = tmp_path / whole.parent.name / "task"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    file = rng.choice(sorted(path.iterdir()))
    change = (with_other_values if file.suffix == ".json"
              and rng.random() < 0.8 else damaged)
    file.write_bytes(change(file.read_bytes(), rng))
    try:
      assert all(np.isfinite(array).all()
                 for array in read(path, config_of(whole)).values())
    except ta.InputError as error:
      refused += 1
      text = str(error)
      assert "\n" not in text and text.startswith(str(path)), text
      assert len(text) < 1500
  assert refused > count / 3
