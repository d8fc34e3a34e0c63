import numpy as np
import pytest
import seqeval.metrics

import tf_adapters as ta
from tf_adapters.data.batching import training_batches
from tf_adapters.training.metrics import evaluate_task

TRAIN = """-DOCSTART- -X- O O

the\tDT\tO
film\tNN\tB-work
undone\tNN\tI-work

good\tJJ\tO
bad\tJJ\tO
"""


def folder_of(tmp_path, train=TRAIN, dev="he O\n\u200b O\nfilm B-work\n"):
  (tmp_path / "x.train.conll").write_text(train)
  (tmp_path / "x.dev.conll").write_text(dev)
  return str(tmp_path)


def test_reads_conll(tmp_path):
  task = ta.load_task("tagging", folder_of(tmp_path))
  assert task.labels == ("O", "B-work", "I-work")
  split = task.split("train")
  assert split.words == [["the", "film", "undone"], ["good", "bad"]]
  assert [tags.tolist() for tags in split.tags] == [[0, 1, 2], [0, 0]]
  assert task.split("validation").words == [["he", "\u200b", "film"]]


def test_words_are_labelled_at_their_first_wordpiece(tmp_path, plain_encoder):
  task = ta.load_task("tagging", folder_of(tmp_path))
  text = plain_encoder.text_processor(6)
  encoded = task.split("train").encode(text)
  tokens = [[text.vocabulary.tokens[i] for i in row]
            for row in encoded.word_ids.to_list()]
  assert tokens[0] == ["[CLS]", "the", "film", "un", "##d", "[SEP]"]
  assert encoded.labels.to_list() == [
      [-1, 0, 1, 2, -1, -1], [-1, 0, 0, -1]]
  assert encoded.starts.to_list() == [[1, 2, 3], [1, 2]]
  encoded = task.split("validation").encode(text)
  assert encoded.word_ids.to_list()[0][2] == text.vocabulary.tokens.index(
      "[UNK]")
  assert encoded.starts.to_list() == [[1, 2, 3]]


def test_words_that_are_cut_off_are_outside(tmp_path, plain_encoder):
  task = ta.load_task("tagging", folder_of(tmp_path))
  encoded = task.split("train").encode(plain_encoder.text_processor(5))
  assert encoded.starts.to_list() == [[1, 2, 3], [1, 2]]
  short = ta.TextProcessor(plain_encoder.vocabulary, 5)
  long = ta.load_task("tagging", folder_of(
      tmp_path, train="\n".join(["film B-work"] * 9) + "\n\nso O\n"))
  encoded = long.split("train").encode(short)
  assert encoded.starts.to_list() == [[1, 2, 3, *[-1] * 6], [1]]
  assert encoded.cut == 6
  outputs = [np.eye(2)[[1] * 5], np.eye(2)[[1] * 3]]
  assert encoded.tags(outputs, long.labels) == [
      ["B-work"] * 3 + ["O"] * 6, ["B-work"]]


def test_batches_pad_labels(tmp_path, plain_encoder):
  task = ta.load_task("tagging", folder_of(tmp_path))
  encoded = task.split("train").encode(plain_encoder.text_processor(16))
  for inputs, labels in training_batches(encoded, 2, seed=0):
    assert labels.shape == inputs["input_word_ids"].shape
    starts = np.asarray(labels) >= 0
    assert starts.sum() == 5
    assert np.all(np.asarray(inputs["input_mask"])[starts] == 1)


def test_metrics_are_seqevals(tmp_path, plain_encoder):
  task = ta.load_task("tagging", folder_of(tmp_path))
  split = task.split("train")
  encoded = split.encode(plain_encoder.text_processor(16))
  outputs = [np.zeros([16, 3]), np.zeros([16, 3])]
  outputs[0][2, 1] = outputs[0][3, 0] = outputs[1][1, 1] = 1.0
  true = [["O", "B-work", "I-work"], ["O", "O"]]
  predicted = [["O", "B-work", "O"], ["B-work", "O"]]
  assert encoded.tags(outputs, task.labels) == predicted
  values = evaluate_task(task, split, encoded, outputs)
  assert values["entity_f1"] == seqeval.metrics.f1_score(true, predicted) == 0
  assert values["token_accuracy"] == pytest.approx(3 / 5)
  outputs[0][3, 2] = 2.0
  values = evaluate_task(task, split, encoded, outputs)
  assert values["entity_precision"] == pytest.approx(1 / 2)
  assert values["entity_recall"] == 1.0


@pytest.mark.parametrize("tag, metrics", [
    ("NOUN", ("token_accuracy", "macro_f1")),
    ("U-name", ("token_accuracy", "macro_f1")),
    ("S-name", ("entity_f1", "entity_precision", "entity_recall",
                "token_accuracy"))])
def test_other_tags_are_scored_word_by_word(
    tmp_path, plain_encoder, tag, metrics):
  task = ta.load_task("tagging", folder_of(
      tmp_path, train=f"the O\nfilm {tag}\n", dev="he O\n"))
  assert task.metrics == metrics
  split = task.split("train")
  encoded = split.encode(plain_encoder.text_processor(8))
  outputs = [np.eye(2)[[0, 0, 1, 0]]]
  values = evaluate_task(task, split, encoded, outputs)
  assert set(values) == set(metrics)
  assert set(values.values()) == {1.0}


def test_comments_and_names_of_conll(tmp_path):
  (tmp_path / "eng.train").write_text(
      "# id 5 domain=en\nthe O\nfilm B-x\n\n# O\nbad O\n")
  (tmp_path / "eng.testa").write_text("a O\n")
  (tmp_path / "eng.testb").write_text("#\tO\n")
  (tmp_path / "latest.txt").write_text("no O\n")
  task = ta.load_task("tagging", str(tmp_path))
  assert task.split("train").words == [["the", "film"], ["bad"]]
  assert task.split("validation").words == [["a"]]
  assert task.split("test").words == [["#"]]


def test_loss_is_of_labelled_tokens_alone(encoder, tmp_path):
  model = ta.TokenTagger(encoder, ["O", "B", "I"])
  logits = np.random.default_rng(0).normal(size=[2, 4, 3]).astype("f4")
  labels = np.array([[-1, 2, 0, -1], [-1, 1, -1, -1]])
  log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  expected = -np.mean([log[0, 1, 2], log[0, 2, 0], log[1, 1, 1]])
  assert float(model.loss_function(labels, logits)) == pytest.approx(
      expected, abs=1e-5)
  assert float(model.loss_function(np.full([2, 4], -1), logits)) == 0.0


def test_the_real_files(real_data):
  task = ta.load_task("tagging", str(real_data / "tagging" / "wnut17"))
  assert {name: len(split) for name, split in task.splits.items()} == {
      "train": 3394, "validation": 1009, "test": 1287}
  assert len(task.labels) == 13


@pytest.mark.parametrize("train, dev, message", [
    ("the O\nfilm\n", "a O\n", r"x.train.conll:2: expected a word and its tag"),
    (TRAIN, "he O\nthe B-place\n",
     r"x.dev.conll:2: of 'the': label 'B-place' is not one of O, B-work"),
    (TRAIN, "he O\nthe b-work\n", "is it 'B-work'?"),
    ("the O\nfilm o\n", "a O\n",
     r"x.train.conll:2: tag 'o' differs from 'O' in line 1 in case only"),
    ("the O\rfilm B-x\r", "a O\n", r"conll:1: has a carriage return in it"),
    (TRAIN, "a O\nb\0 O\n", "x.dev.conll:2: has a NUL byte in it"),
    (TRAIN, "\n", "x.dev.conll: is empty"),
    ("\n\n", "a O\n", "x.train.conll: is empty"),
    ("the O\n", "a O\n", "one tag only"),
])
def test_what_is_no_such_file(tmp_path, train, dev, message):
  with pytest.raises(ta.InputError, match=message):
    ta.load_task("tagging", folder_of(tmp_path, train, dev))


def test_bad_sentences_are_left_out_and_counted(tmp_path):
  folder = folder_of(
      tmp_path, TRAIN + "\nvery O\nso\nbad O\n\nis O\n",
      dev="he O\n\nthe O\nfilm B-place\n\nso\0 O\n")
  task = ta.load_task("tagging", folder, on_bad_row="skip")
  assert task.split("train").words == [
      ["the", "film", "undone"], ["good", "bad"], ["is"]]
  assert task.split("validation").words == [["he"]]
  assert task.notes == (
      "1 sentence left out: 1 without a label (first: x.train.conll:11)",
      "2 sentences left out: 1 with a NUL byte (first: x.dev.conll:6), 1 with "
      "an unknown label (first: x.dev.conll:4)")


def test_files_have_to_be_told_apart(tmp_path):
  with pytest.raises(ta.InputError, match="needs data_dir"):
    ta.load_task("tagging")
  with pytest.raises(ta.InputError, match="no files"):
    ta.load_task("tagging", str(tmp_path))
  folder_of(tmp_path)
  (tmp_path / "other.train.txt").write_text(TRAIN)
  with pytest.raises(ta.InputError, match="could be the train split"):
    ta.load_task("tagging", str(tmp_path))
