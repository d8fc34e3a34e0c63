"""Tiny real checkpoints, written once per session."""

import fcntl
import gc
import json
import os
import pathlib
import string

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tf_keras
from official.legacy.bert import configs
from official.nlp.tools import export_tfhub_lib

import tf_adapters as ta
from tests.adapters import TASKS, make
from tests.reference import hugging_face_tensors
from tf_adapters.checkpoints import names

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"

# Files of tests that come before all others. A computation that is broken shows
# in the first of them, within a minute; then come those that take the longest,
# for two processes to end at the same time.
FIRST = (
    "modeling/test_task_layers.py",
    "modeling/test_encoder.py",
    "modeling/test_stacked.py",
    "serving/test_saved_model.py",
    "training/test_run.py",
    "training/test_prefix_cache.py",
    "training/test_replicas.py",
    "training/test_faults.py",
    "serving/test_bank.py",
    "checkpoints/test_odd_files.py",
    "training/test_kinds_of_problems.py",
    "modeling/test_tuning.py",
    # Of the same sources: two processes do not wait for each other.
    "checkpoints/test_hub_export.py",
    "modeling/test_keras_model.py",
    "modeling/test_text_layers.py",
    "experiments/test_sweep.py",
)


def pytest_collection_modifyitems(items):
  here = pathlib.Path(__file__).parent
  places = {here / name: place for place, name in enumerate(FIRST)}
  items.sort(key=lambda item: places.get(item.path, len(FIRST)))


def pytest_collection_finish():
  # What is imported by now is no garbage: a tenth of all time went into looking
  # for some among it.
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 20, 20)


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "film", "is", "good", "bad", "very", "not", "plot", "he",
         "said", "so", "##s", "##ed", "##ing", "un", "##able"]
TOKENS = [*SPECIAL, *WORDS, *string.ascii_lowercase, *string.digits,
          *(f"##{c}" for c in string.ascii_lowercase if c != "s"), *".,!?'#@"]

TINY = dict(
    vocab_size=len(TOKENS), hidden_size=32, num_hidden_layers=3,
    num_attention_heads=4, intermediate_size=48, max_position_embeddings=40,
    type_vocab_size=2, hidden_act="gelu")


def once(tmp_path_factory, name, make):
  """Writes a folder once for all processes of a session, to be read alone.

  Args:
    tmp_path_factory: pytest's.
    name: of it.
    make: writes into a folder; returns what JSON can hold.

  Returns:
    What `make` returned, in this process or in another.
  """
  folder = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    folder = folder.parent
  done = folder / f"{name}.json"
  with open(folder / f"{name}.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not done.exists():
      (folder / name).mkdir()
      done.write_text(json.dumps(make(folder / name)))
  return json.loads(done.read_text())


@pytest.fixture(scope="session")
def real_data():
  """The folder of published data sets; tests that need it skip without."""
  if not DATA.is_dir():
    pytest.skip("the published data sets are not here")
  return DATA


@pytest.fixture(scope="session")
def vocab_file(tmp_path_factory):
  path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
  path.write_text("\n".join(TOKENS) + "\n")
  return path


@pytest.fixture(scope="session")
def bert_weights():
  """Random weights of a tiny BERT by canonical name."""
  # Adapters, too, begin the same in every session.
  tf_keras.utils.set_random_seed(7)
  rng = np.random.default_rng(7)
  # Biases and layer norms too: zeros and ones would hide mistakes.
  return {
      name: (rng.normal(0, 0.1, shape) + name.endswith("/gamma")).astype(
          np.float32)
      for name, shape in names.shapes(ta.BertConfig(**TINY)).items()}


def export_hub(folder, bert_config, vocab_file, weights, with_mlm=False):
  """Writes a Hub v4 SavedModel with the exporter of tf-models.

  Args:
    folder: where to.
    bert_config: fields of a bert_config.json.
    vocab_file: its vocabulary.
    weights: {canonical name: array}.
    with_mlm: whether the SavedModel has an .mlm part.

  Returns:
    The weights that the exporter's own encoder has.
  """
  config = configs.BertConfig.from_dict(bert_config)
  _, model = export_tfhub_lib._create_model(
      bert_config=config, with_mlm=with_mlm)
  encoder = model.encoder_network if with_mlm else model
  written = {}
  for variable in encoder.trainable_variables:
    name = variable.name.removesuffix(":0")
    variable.assign(weights[name])
    written[name] = weights[name]
  items = model.checkpoint_items if with_mlm else {"model": model}
  checkpoint = tf.train.Checkpoint(**items).save(str(folder) + "_ckpt/model")
  export_tfhub_lib.export_model(
      str(folder), bert_config=config, model_checkpoint_path=checkpoint,
      with_mlm=with_mlm, vocab_file=str(vocab_file), do_lower_case=True)
  return written


@pytest.fixture(scope="session")
def hub_source(tmp_path_factory, vocab_file, bert_weights):
  """A tiny Hub v4 SavedModel: (folder, its weights by canonical name)."""
  folder, written = once(tmp_path_factory, "hub", lambda folder: [
      str(folder / "bert"), list(export_hub(
          folder / "bert", TINY, vocab_file, bert_weights, with_mlm=True))])
  return pathlib.Path(folder), {name: bert_weights[name] for name in written}


def write_hugging_face(folder, config, weights, vocab_file):
  """Writes a Hugging Face BERT folder from weights by canonical name."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "config.json").write_text(json.dumps(
      {"model_type": "bert", "layer_norm_eps": 1e-12, **config}))
  (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
  (folder / "vocab.txt").write_text(vocab_file.read_text())
  safetensors.numpy.save_file(
      hugging_face_tensors(weights), folder / "model.safetensors")
  return folder


@pytest.fixture(scope="session")
def hf_source(tmp_path_factory, bert_weights, vocab_file):
  """The same weights as a Hugging Face folder, with their exact gelu."""
  return write_hugging_face(
      tmp_path_factory.mktemp("hf") / "bert", TINY, bert_weights, vocab_file)


@pytest.fixture(scope="session")
def one_layer_source(tmp_path_factory, bert_weights, vocab_file):
  """Their lowest layer alone, for tests of what is around an encoder."""
  return write_hugging_face(
      tmp_path_factory.mktemp("one_layer") / "bert",
      TINY | dict(num_hidden_layers=1), lowest(bert_weights, 1), vocab_file)


@pytest.fixture(scope="session")
def two_layer_source(tmp_path_factory, bert_weights, vocab_file):
  """Their lower two, for tests that need a layer above another."""
  return write_hugging_face(
      tmp_path_factory.mktemp("two_layers") / "bert",
      TINY | dict(num_hidden_layers=2), lowest(bert_weights, 2), vocab_file)


def lowest(weights, num_layers):
  """The weights of an encoder's lowest layers, and of what is around them."""
  config = ta.BertConfig(**TINY | dict(num_hidden_layers=num_layers))
  return {name: weights[name] for name in names.shapes(config)}


def write_tasks(source, tmp_path_factory, name):
  """Adapter files of tasks of every kind by name: `tests.adapters.TASKS`."""
  files = once(tmp_path_factory, name, lambda folder: {
      name: str(make(source, folder / name, *task, seed=seed))
      for seed, (name, task) in enumerate(TASKS.items())})
  return {name: pathlib.Path(path) for name, path in files.items()}


@pytest.fixture(scope="session")
def task_files(hf_source, tmp_path_factory):
  return write_tasks(hf_source, tmp_path_factory, "adapters")


@pytest.fixture
def encoder(hf_source):
  """A fresh tiny encoder with adapters of size 8."""
  return ta.load_encoder(str(hf_source), ta.AdapterConfig(size=8))


@pytest.fixture
def plain_encoder(hf_source):
  """A fresh tiny encoder without adapters."""
  return ta.load_encoder(str(hf_source))


@pytest.fixture
def batch(encoder):
  """Inputs of ragged lengths, one with two segments."""
  text = encoder.text_processor(32)
  return text(["the film is good", "bad", "he said so, very!", ""],
              ["", "not so", "un good", "?"])


@pytest.fixture
def eagerly():
  """Without graphs: tracing one takes longer than a few steps without."""
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


@pytest.fixture
def sentiment_dir(tmp_path):
  """A learnable task in files of one's own."""
  return write_sentiment(tmp_path)


def write_sentiment(folder):
  rng = np.random.default_rng(0)
  for name, rows in (("train", 48), ("dev", 21), ("test", 10)):
    lines = ["text\tlabel"]
    for _ in range(rows):
      label = rng.choice(["good", "bad"])
      words = rng.choice(WORDS[:3] + WORDS[5:11], size=rng.integers(1, 9))
      lines.append(" ".join([*words, label]) + "\t" + label)
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
  return folder
