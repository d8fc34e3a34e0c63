import numpy as np
import pytest
import seqeval.metrics

import tf_adapters as ta
from tf_adapters.data.batching import training_batches
from tf_adapters.data.tag_schemes import entity_tags
from tf_adapters.problems import PROBLEMS
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
  assert encoded.cut_note() == (
      "6 of 10 words stand behind the first 5 wordpieces, and are not seen")
  with pytest.warns(UserWarning, match="tagging, train: 6 of 10 words stand"):
    long.train_dataset(short)
  outputs = [np.eye(2)[[1] * 5], np.eye(2)[[1] * 3]]
  assert PROBLEMS["tagging"].tags(encoded, outputs, long.labels) == [
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
  assert PROBLEMS["tagging"].tags(
      encoded, outputs, task.labels) == predicted
  values = evaluate_task(task, split, encoded, outputs)
  assert values["entity_f1"] == seqeval.metrics.f1_score(true, predicted) == 0
  assert values["token_accuracy"] == pytest.approx(3 / 5)
  outputs[0][3, 2] = 2.0
  values = evaluate_task(task, split, encoded, outputs)
  assert values["entity_precision"] == pytest.approx(1 / 2)
  assert values["entity_recall"] == 1.0


@pytest.mark.parametrize("tag, metrics", [
    ("NOUN", ("token_accuracy", "macro_f1")),
    ("X-name", ("token_accuracy", "macro_f1")),
    ("U-name", ("entity_f1", "entity_precision", "entity_recall",
                "token_accuracy")),
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
      "# id 5 domain=en\nthe O\nfilm B-x\n\n# O\nbad O\n"
      "\n# newdoc\n#\n# B-y\nis O\n")
  (tmp_path / "eng.testa").write_text("a O\n")
  (tmp_path / "eng.testb").write_text("#\tO\n")
  (tmp_path / "latest.txt").write_text("no O\n")
  task = ta.load_task("tagging", str(tmp_path))
  assert task.split("train").words == [
      ["the", "film"], ["#", "bad"], ["#", "is"]]
  assert task.split("validation").words == [["a"]]
  assert task.split("test").words == [["#"]]


def loaded(tmp_path, content, **options):
  """The words, tags and notes of a training file."""
  (tmp_path / "train.tsv").write_text(content)
  task = ta.load_task("tagging", str(tmp_path), **options)
  split = task.split("train")
  return split.words, [[task.labels[number] for number in tags]
                       for tags in split.tags], task.notes


@pytest.mark.parametrize("content, words", [
    ("# O\nparis B-LOC\n\n#metoo O\n", [["#", "paris"], ["#metoo"]]),
    ("#\tO\nparis\tB-LOC\n", [["#", "paris"]]),
    ("# text = a b\n# sent_id = 7\na\tO\nb\tB-LOC\n", [["a", "b"]]),
    ("# id 3f\tdomain=en\na _ _ O\nb _ _ B-LOC\n", [["a", "b"]]),
    ("#begin document (a/b); part 000\n\na O\nb B-LOC\n\n#end document\n",
     [["a", "b"]]),
    ("10\xa0000 O\n\u3000 O\nden\xa0haag B-LOC\n",
     [["10\xa0000", "\u3000", "den\xa0haag"]]),
    ("a\u3000b\tO\nx y\tB-LOC\n", [["a\u3000b", "x y"]]),
    ("a O\n-DOCSTART- O\nb B-LOC\n", [["a"], ["b"]]),
])
def test_words_with_hashes_and_blanks_of_other_kinds(tmp_path, content, words):
  assert loaded(tmp_path, content)[0] == words


GERMEVAL = """#\thttp://de.wikipedia.org/wiki/Bonn\t[2009-10-17]
1\tIn\tO\tO
2\t#\tO\tO
3\tBonn\tB-LOC\tO

#\tn-tv.de\t[2005-02-26]
1\tAnna\tB-PER\tB-LOC
"""
CONLL_U = """# sent_id = 1
# text = Zum Haus
1-2\tZum\t_\t_\t_\t_\t_\t_\t_\t_
1\tZu\tzu\tADP\tAPPR\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_
3\tHaus\tHaus\tNOUN\tNN\t_\t0\troot\t_\t_
3.1\tso\tso\tADV\t_\t_\t_\t_\t_\t_
"""


def test_first_columns_that_count_words(tmp_path):
  assert loaded(tmp_path, GERMEVAL) == (
      [["In", "#", "Bonn"], ["Anna"]], [["O"] * 3, ["B-LOC"]],
      ("train.tsv: words are column 2, tags column 4 of 4; there are tags of "
       "entities in column 3, too",))
  assert loaded(tmp_path, GERMEVAL, label_column="3")[1] == [
      ["O", "O", "B-LOC"], ["B-PER"]]
  words, tags, notes = loaded(tmp_path, CONLL_U, label_column="4")
  assert (words, tags) == ([["Zu", "dem", "Haus"]], [["ADP", "DET", "NOUN"]])
  assert notes[0] == "train.tsv: words are column 2, tags column 4 of 10"
  assert "2 lines of several words (3-4) or of none (5.1) left out" in notes[1]
  # From 0, with blanks.
  assert loaded(tmp_path, "0 a X O\n1 b X B-x\n\n0 c X O\n")[0] == [
      ["a", "b"], ["c"]]


@pytest.mark.parametrize("content, options, message", [
    (CONLL_U, {}, "the columns of CoNLL-U: label_column says which one"),
    (GERMEVAL.replace("3\tBonn", "4\tBonn"), {},
     "tsv:4: column 1 holds numbers, and '4' does not .* text_column=2"),
    ("1 The O\n1 film O\n\n2 A O\n2 so B-x\n", {}, "tsv:2: column 1 holds num"),
    ("1 O\n2 O\n3 B-x\n", {}, "tsv:1: column 1 counts the words, and there"),
    ("d1 a O\nd1 b O\nd1 c B-x\n\n" * 3, {},
     "tsv:1: column 1 is 'd1' in each line of the sentence"),
    ("".join(f"O w{i}\n" for i in range(20)), {},
     r"20 different tags \(w0, w1, w10 and 17 more\), but 1 different words"),
    ("a O\nb B-x\n", {"label_column": "3"}, "has no column 3: label_column mu"),
    ("a O\nb B-x\n", {"text_column": "word"}, "text_column must be the number"),
    ("a O\nNew York B-x\nb O\n", {}, "tsv:2: 3 columns, expected 2"),
    ("Word\tPOS\tTag\na\tX\tO\nb\tX\tB-x\n", {},
     r"tsv:1: looks like the names of columns \(Word, POS, Tag\): remove the "),
    ("token label\na O\nb B-x\n", {}, "tsv:1: looks like the names of columns"),
    ("B-x\tso\nO\tgood\nO\tso\n", {}, "label_column say which column is which"),
    # Those who annotated, behind the tags.
    ("1 a B-x ann\n2 b O bob\n3 c O ann\n", {},
     "column 3 has tags of entities, "
     r"and the last one something else \(ann, bob\): label_column says"),
    ("so good\tO B-x\nis bad\tO B-x\n", {},
     "tsv:1: expected a word and its tag on each line, not a sentence and its"),
    ("a X _\nb X _\n", {}, "one tag only .*; train.tsv: words are column 1"),
])
def test_columns_that_cannot_be_told_are_refused(
    tmp_path, content, options, message):
  with pytest.raises(ta.InputError, match=message):
    loaded(tmp_path, content, **options)


def test_columns_can_be_said(tmp_path):
  content = "".join(f"B-x w{i}\nO so\n" for i in range(20))
  words, tags, _ = loaded(tmp_path, content, text_column="2", label_column="1")
  assert words == [[word for i in range(20) for word in (f"w{i}", "so")]]
  assert tags == [["B-x", "O"] * 20]
  words = loaded(tmp_path, "1 7 O\n2 8 B-x\n", text_column="1")[0]
  assert words == [["1", "2"]]


@pytest.mark.parametrize("content, words, languages", [
    ("en:a O\nen:b:c B-x\n\nen:: O\n", [["a", "b:c"], [":"]], "en"),
    ("de:a\tO\nde:b\tB-x\n\nzh-yue:c\tO\n", [["a", "b"], ["c"]],
     "de, zh-yue"),
    ("en:a O\nb B-x\n\nen:c O\n", [["en:a", "b"], ["en:c"]], None),
    (": O\n:b B-x\n\n12:30 O\n", [[":", ":b"], ["12:30"]], None),
])
def test_languages_in_front_of_words(tmp_path, content, words, languages):
  found, _, notes = loaded(tmp_path, content)
  assert found == words
  assert notes == ((
      f"train.tsv: the language in front of each word ({languages}) is no part "
      "of it",) if languages else ())


@pytest.mark.parametrize("tags, entities", [
    ("B-P M-P E-P O S-P", [("P", 0, 2), ("P", 4, 4)]),
    ("B-P I-P L-P O U-P", [("P", 0, 2), ("P", 4, 4)]),
    ("B-P I-P E-P O S-P", [("P", 0, 2), ("P", 4, 4)]),
    ("B-P M-P E-P O W-P", [("P", 0, 2), ("P", 4, 4)]),
    ("I-P I-P B-P O I-Q", [("P", 0, 1), ("P", 2, 2), ("Q", 4, 4)]),
    ("B I I O B", [("_", 0, 2), ("_", 4, 4)]),
    ("B M E S S", [("_", 0, 2), ("_", 3, 3), ("_", 4, 4)]),
    ("P-B P-I P-I O Q-B", [("P", 0, 2), ("Q", 4, 4)]),
    ("B_P I_P I_P O B_Q", [("P", 0, 2), ("Q", 4, 4)]),
])
def test_entities_are_counted_in_every_scheme(
    tmp_path, plain_encoder, tags, entities):
  tags = tags.split()
  (tmp_path / "train.txt").write_text(
      "".join(f"the {tag}\n" for tag in tags))
  task = ta.load_task("tagging", str(tmp_path))
  assert task.metrics[0] == "entity_f1" and not task.notes
  seqevals = [entity_tags(task.labels).seqevals[tag] for tag in tags]
  assert seqeval.metrics.sequence_labeling.get_entities(seqevals) == entities
  split = task.split("train")
  encoded = split.encode(plain_encoder.text_processor(16))
  outputs = np.zeros([7, len(task.labels)])
  outputs[range(1, 6), split.tags[0]] = 1.0
  assert evaluate_task(task, split, encoded, [outputs])["entity_f1"] == 1.0
  # The first entity falls apart.
  outputs[2] = outputs[4]
  found = evaluate_task(task, split, encoded, [outputs])
  assert 0.0 < found["entity_f1"] < 1.0


@pytest.mark.parametrize("tags, note", [
    ("O B-P 0 I-P", "'B-P', but not '0' (train.txt:3): is it a mistake?"),
    ("O B-P B_P I-P", "'B-P', but not 'B_P' (train.txt:3): is it a mistake?"),
    ("O N-P B-P L-P", "'B-P', but not 'N-P' (train.txt:2): is it a mistake?"),
    ("NOUN VERB NOUN ADJ", "tags such as ADJ, NOUN, VERB do not say where"),
    ("PER O LOC ORG", "tags such as LOC, ORG, PER do not say where"),
])
def test_a_note_says_why_there_are_no_entities(tmp_path, tags, note):
  (tmp_path / "train.txt").write_text(
      "".join(f"the {tag}\n" for tag in tags.split()))
  task = ta.load_task("tagging", str(tmp_path))
  assert task.metrics == ("token_accuracy", "macro_f1")
  (said,) = task.notes
  assert said.startswith("no entity F1; token_accuracy selects the best epoch")
  assert note in said


def test_folders_with_more_files_than_splits(tmp_path):
  for name in ("train", "devel", "train_dev", "test"):
    (tmp_path / f"{name}.tsv").write_text(f"{name}\tB\nis\tO\n")
  (tmp_path / "README.md").write_text("# Data\n")
  task = ta.load_task("tagging", str(tmp_path))
  assert {name: split.words[0][0] for name, split in task.splits.items()} == {
      "train": "train", "validation": "devel", "test": "test"}
  assert task.notes == (f"not read in {tmp_path}: train_dev.tsv",)
  (tmp_path / "train.tsv").unlink()
  (tmp_path / "devel.tsv").rename(tmp_path / "x.val.conllu")
  task = ta.load_task("tagging", str(tmp_path))
  assert task.split("train").words[0][0] == "train_dev"
  assert task.split("validation").words[0][0] == "devel"
  with pytest.raises(ta.InputError, match="is a file: data_dir is the folder"):
    ta.load_task("tagging", str(tmp_path / "test.tsv"))


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
      tmp_path, TRAIN + "\nvery RB O\nso\nbad JJ O\n\nis VB O\n\nis O\n",
      dev="he O\n\nthe O\nfilm B-place\n\nso\0 O\n")
  task = ta.load_task("tagging", folder, on_bad_row="skip")
  assert task.split("train").words == [
      ["the", "film", "undone"], ["good", "bad"], ["is"]]
  assert task.split("validation").words == [["he"]]
  assert task.notes == (
      "x.train.conll: words are column 1, tags column 3 of 3",
      "2 sentences left out: 1 without a label (first: x.train.conll:11), 1 of "
      "another number of columns (first: x.train.conll:16)",
      "2 sentences left out: 1 with a NUL byte (first: x.dev.conll:6), 1 with "
      "an unknown label (first: x.dev.conll:4); scores are of the other "
      "sentences alone")


def test_files_have_to_be_told_apart(tmp_path):
  with pytest.raises(ta.InputError, match="needs data_dir"):
    ta.load_task("tagging")
  with pytest.raises(ta.InputError, match="no files"):
    ta.load_task("tagging", str(tmp_path))
  folder_of(tmp_path)
  (tmp_path / "other.train.txt").write_text(TRAIN)
  with pytest.raises(ta.InputError, match="could be the train split"):
    ta.load_task("tagging", str(tmp_path))
