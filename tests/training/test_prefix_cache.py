"""Training that starts from the frozen layers' output."""

import dataclasses
import errno
import os
import pathlib

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tf_keras

import tf_adapters as ta
from tests.conftest import TINY, lowest, write_hugging_face
from tf_adapters.data import batching, tagging
from tf_adapters.training import bookkeeping, prefix_cache
from tf_adapters.training.model_outputs import predict
from tf_adapters.training.run import run
from tf_adapters.training.run_config import GlueRunConfig
from tf_adapters.training.training_config import TrainingConfig
from tf_adapters.training.unread_flags import check_all_read

TEXTS = ["the film is good", "bad", "he said so, very! " * 9, "", "x",
         "plot unable", "the the the the the the the"]


@pytest.fixture(scope="session")
def without_dropout(tmp_path_factory, bert_weights, vocab_file):
  """Two layers of the tiny encoder, whose configuration has no dropout."""
  return write_hugging_face(
      tmp_path_factory.mktemp("dry") / "bert",
      TINY | dict(num_hidden_layers=2, hidden_dropout_prob=0.0,
                  attention_probs_dropout_prob=0.0),
      lowest(bert_weights, 2), vocab_file)


@pytest.fixture
def config(without_dropout, sentiment_dir, tmp_path):
  return GlueRunConfig(
      task_name="tsv", data_dir=str(sentiment_dir), do_train=True,
      encoder=str(without_dropout), output_dir=str(tmp_path / "run"),
      adapter_size=4, adapter_layers=(1,), max_seq_length=24,
      train_batch_size=8, num_train_epochs=2, learning_rate=3e-3,
      prefix_cache=True)


@pytest.fixture
def upper(hf_source):
  """An encoder whose upper layer has adapters."""
  return ta.load_encoder(
      str(hf_source), ta.AdapterConfig(size=4, layers=(1,)))


def encode(encoder, texts=TEXTS):
  return batching.encode(
      encoder.text_processor(24), texts, None,
      np.arange(len(texts), dtype=np.int32))


def tensors(config):
  return safetensors.numpy.load_file(
      f"{config.output_dir}/adapter/adapter.safetensors")


def add(encoded, encoder, folder, cache_dir=None):
  return prefix_cache.add_prefix_output(encoded, encoder, 3, folder, cache_dir)


def assert_rows(encoded, encoder):
  """Every row is kept whole, and is what the encoder makes of it."""
  lengths = encoded.lengths.numpy()
  assert len(encoded.prefix_output.vectors) == lengths.sum()
  for number, length in enumerate(lengths):
    row = encoded.prefix_output[number]
    inputs = encoded.text.pad(encoded.word_ids[number:number + 1],
                              encoded.type_ids[number:number + 1])
    assert len(row) == length
    np.testing.assert_allclose(
        row, encoder.prefix_output(inputs)[0], atol=1e-5)


@pytest.mark.parametrize("changes, layers", [
    ({}, 1), ({"method": "lora", "lora_dora": True, "lora_layers": (1,)}, 1),
    pytest.param({"method": "ia3", "ia3_layers": (1,)}, 1,
                 marks=pytest.mark.slow),
    pytest.param({"tuning": "head"}, 2, marks=pytest.mark.slow),
    pytest.param({"tuning": "top_layers:1"}, 1, marks=pytest.mark.slow)])
def test_without_dropout_the_training_is_the_same(
    config, tmp_path, changes, layers):
  if changes:
    config = dataclasses.replace(
        config, adapter_size=None, adapter_layers=None, **changes)
  plain = dataclasses.replace(
      config, prefix_cache=False, output_dir=str(tmp_path / "plain"))
  cached, expected = run(config), run(plain)
  assert cached["hyperparameters"]["cached_layers"] == layers
  assert expected["hyperparameters"]["cached_layers"] == 0
  assert "prefix_cache" in cached["seconds"]
  assert "prefix_cache" not in expected["seconds"]
  assert cached["epochs"] == expected["epochs"]
  assert tensors(config).keys() == tensors(plain).keys()
  for name, value in tensors(plain).items():
    np.testing.assert_allclose(
        tensors(config)[name], value, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("jit_compile", [
    False, pytest.param(True, marks=pytest.mark.slow)])
def test_losses_are_the_same_in_every_width(
    without_dropout, tmp_path, jit_compile):
  encoder = ta.load_encoder(
      str(without_dropout), ta.AdapterConfig(size=4, layers=(1,)))
  labels = [str(number) for number in range(2 * len(TEXTS))]
  widths = (24,) if jit_compile else (8, 24)  # each is compiled
  encoded = encode(encoder, TEXTS * 2)
  start = {name: variable.numpy()
           for name, variable in encoder.tuned_variables().items()}

  def losses(split):
    tf_keras.utils.set_random_seed(3)
    for name, variable in encoder.tuned_variables().items():
      variable.assign(start[name])
    model = ta.TextClassifier(encoder, labels)
    model.compile(ta.create_optimizer(1e-2, 100), model.loss_function,
                  jit_compile=jit_compile)
    return [(inputs["input_mask"].shape[1],
             model.train_on_batch(inputs, numbers))
            for inputs, numbers in batching.training_batches(
                split, 4, 0, range(2), widths=widths)]

  one, two = losses(encoded), losses(add(encoded, encoder, tmp_path))
  assert {width for width, _ in one} == set(widths)
  np.testing.assert_allclose(two, one, rtol=1e-5)


def test_a_stopped_run_ends_with_the_same_numbers(
    config, tmp_path, monkeypatch):
  cache = str(tmp_path / "cache")
  whole = dataclasses.replace(config, output_dir=str(tmp_path / "whole"))
  expected = run(whole)
  stopped = dataclasses.replace(config, save_checkpoints_steps=2)
  end = bookkeeping.Bookkeeping.on_train_batch_end

  def stop(self, batch, logs=None):
    end(self, batch, logs)
    if self._progress.steps > 8:
      raise KeyboardInterrupt

  monkeypatch.setattr(bookkeeping.Bookkeeping, "on_train_batch_end", stop)
  with pytest.raises(KeyboardInterrupt):
    run(stopped)
  monkeypatch.undo()
  # Where the rows are kept is no other run.
  results = run(dataclasses.replace(stopped, prefix_cache_dir=cache))
  assert results["epochs"] == expected["epochs"]
  for name, value in tensors(whole).items():
    np.testing.assert_array_equal(tensors(stopped)[name], value, name)
  with pytest.raises(ta.InputError, match="prefix_cache=true, not false"):
    run(dataclasses.replace(config, prefix_cache=False))


def test_rows_in_memory_and_in_files_are_the_same(
    upper, tmp_path, monkeypatch):
  encoded = encode(upper)
  memory = add(encoded, upper, tmp_path)
  assert_rows(memory, upper)
  kept = add(encoded, upper, tmp_path, tmp_path / "new" / "cache")
  monkeypatch.setattr(prefix_cache, "MOST_IN_MEMORY", 10)
  nameless = add(encoded, upper, tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ["new"]
  for other in (kept, nameless):
    assert isinstance(other.prefix_output.vectors, np.memmap)
    np.testing.assert_array_equal(
        other.prefix_output.vectors, memory.prefix_output.vectors)


def test_files_are_used_again_for_the_same_rows_alone(
    upper, tmp_path, monkeypatch):
  encoded = encode(upper)
  first = add(encoded, upper, tmp_path, tmp_path)
  [file] = tmp_path.iterdir()
  with monkeypatch.context() as patch:
    patch.setattr(prefix_cache, "_compute", None)
    # What lies above the prefix, labels and dropout do not matter.
    upper.named_variables()["transformer/layer_1/output/bias"].assign_add(
        np.ones([32]))
    again = add(dataclasses.replace(encoded, labels=None), upper, tmp_path,
                tmp_path)
  np.testing.assert_array_equal(
      again.prefix_output.vectors, first.prefix_output.vectors)
  add(encode(upper, TEXTS[1:]), upper, tmp_path, tmp_path)
  upper.tune("top_layers:1")
  add(encoded, upper, tmp_path, tmp_path)
  assert len(list(tmp_path.iterdir())) == 2
  upper.named_variables()["transformer/layer_0/output/bias"].assign_add(
      np.ones([32]))
  assert_rows(add(encoded, upper, tmp_path, tmp_path), upper)
  assert len(list(tmp_path.iterdir())) == 3
  assert file in tmp_path.iterdir()


def test_damaged_files_are_written_anew(upper, tmp_path):
  encoded = encode(upper)
  add(encoded, upper, tmp_path, tmp_path)
  [file] = tmp_path.iterdir()
  content = file.read_bytes()
  for damaged in (  # short, empty, other, half-written, long
      content[:-1], b"", content[:200] + b"\1" + content[201:],
      bytes(32) + content[32:], content + b"x"):
    file.write_bytes(damaged)
    again = add(encoded, upper, tmp_path, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]
  assert_rows(again, upper)


def test_two_processes_can_write_the_same_file(upper, tmp_path, monkeypatch):
  encoded = encode(upper)
  compute = prefix_cache._compute
  others = []

  def slowly(*arguments):
    monkeypatch.setattr(prefix_cache, "_compute", compute)
    others.append(add(encoded, upper, tmp_path, tmp_path))
    compute(*arguments)

  monkeypatch.setattr(prefix_cache, "_compute", slowly)
  ours = add(encoded, upper, tmp_path, tmp_path)
  for rows in (ours, *others):
    assert_rows(rows, upper)
  assert len(list(tmp_path.iterdir())) == 1


def test_full_disks_and_folders_that_are_none_are_said(
    config, upper, tmp_path, monkeypatch):
  file = tmp_path / "file"
  file.touch()
  for folder in (file, file / "below"):
    with pytest.raises(ta.InputError, match="cannot be written: .*"):
      run(dataclasses.replace(config, prefix_cache_dir=str(folder)))
  assert not pathlib.Path(config.output_dir).exists()

  def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  cache = tmp_path / "cache"
  monkeypatch.setattr(os, "posix_fallocate", full)
  monkeypatch.setattr(prefix_cache, "MOST_IN_MEMORY", 10)
  for cache_dir in (cache, None):
    with pytest.raises(ta.InputError, match="No space left") as error:
      add(encode(upper), upper, tmp_path, cache_dir)
    assert "\n" not in str(error.value)
  assert not list(cache.iterdir())


def test_a_tuning_without_frozen_layers_is_refused(config):
  for changes in ({"adapter_layers": None}, {"adapter_layers": (0, 1)},
                  {"tune_layer_norms": True}):
    with pytest.raises(ta.InputError, match="no layer below"):
      run(dataclasses.replace(config, **changes))
  assert not pathlib.Path(config.output_dir).exists()
  with pytest.raises(ta.InputError, match="prefix_cache_dir=x has no effect"):
    check_all_read(dataclasses.replace(
        config, prefix_cache=False, prefix_cache_dir="x"))


def test_bfloat16_is_kept_as_such(config, tmp_path):
  cache = tmp_path / "cache"
  run(dataclasses.replace(config, mixed_precision="bfloat16",
                          num_train_epochs=1, prefix_cache_dir=str(cache)))
  task = ta.load_task("tsv", config.data_dir)
  text = ta.load_encoder(config.encoder).text_processor(24)
  wordpieces = [tf.size(task.split(name).encode(text).word_ids.flat_values)
                for name in ("train", "validation")]
  assert sorted(file.stat().st_size for file in cache.iterdir()) == sorted(
      32 + 32 * 2 * int(count) for count in wordpieces)


def test_outputs_for_tokens_are_the_same(upper, tmp_path):
  model = ta.TokenTagger(upper, ["a", "b", "c"])
  task = write_tagging(tmp_path)
  encoded = task.split("train").encode(upper.text_processor(24))
  cached = add(encoded, upper, tmp_path)
  assert isinstance(cached, tagging.EncodedWords)
  config = TrainingConfig(eval_batch_size=2)
  for one, two, length in zip(
      predict(model, encoded, config),
      predict(model, cached, config),
      encoded.lengths.numpy(), strict=True):
    assert one.shape == two.shape
    np.testing.assert_allclose(two[:length], one[:length], atol=1e-5)


def write_tagging(folder):
  """Sentences of several lengths in CoNLL files."""
  sentences = ["the film is good", "bad", "he said so very very very much"]
  content = "\n\n".join(
      "\n".join(f"{word}\t{'abc'[len(word) % 3]}" for word in text.split())
      for text in sentences)
  for name in ("train", "dev", "test"):
    (folder / f"{name}.conll").write_text(content + "\n")
  return ta.load_task("tagging", str(folder))
