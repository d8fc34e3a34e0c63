import re

import pytest
from hypothesis import given, strategies as st

from tests import conftest
from tests.checkpoints import writers
from tests.reference import hugging_face_tensors
from tf_adapters.checkpoints import names, sources
from tf_adapters.errors import InputError
from tf_adapters.modeling.encoders.bert import BERT, BertConfig
from tf_adapters.modeling.encoders.bert_layers import BertEncoder
from tf_adapters.modeling.encoders.table import ENCODERS

CONFIG = BertConfig(
    vocab_size=11, hidden_size=8, num_hidden_layers=12, num_attention_heads=2,
    intermediate_size=12, max_position_embeddings=7)
SHAPES = names.shapes(CONFIG)


class _Array:
  """Enough of an array to be renamed."""

  T = property(lambda self: self)
  size = 1

  def reshape(self, *shape):
    return self


def spelled(monkeypatch, rename):
  monkeypatch.setattr(writers.np, "ascontiguousarray", lambda array: array)
  return list(rename({name: _Array() for name in SHAPES}))


def test_names_and_shapes_are_the_encoders():
  variables = BertEncoder(CONFIG).base_variables()
  assert {n: tuple(v.shape) for n, v in variables.items()} == SHAPES


def test_names_and_shapes_are_the_hubs(hub_source):
  config = BertConfig(**{**conftest.TINY, "hidden_act": "gelu_tanh"})
  assert names.shapes(config) == {
      n: a.shape for n, a in hub_source[1].items()}


@pytest.mark.parametrize("rename", [
    hugging_face_tensors, writers.tf1_tensors, writers.hub_v1_tensors, list])
def test_every_format_has_every_name(monkeypatch, rename):
  theirs = spelled(monkeypatch, rename)
  found = names.find_encoder(theirs)
  assert set(found.names) == set(SHAPES)
  assert sorted(found.names.values()) == sorted(theirs)
  assert found.num_layers == 12
  # Each name means what it says: its own layer, and kind of tensor.
  for canonical, name in found.names.items():
    numbers = re.findall(r"layer[_.](\d+)", canonical + name)
    assert len(set(numbers)) <= 1
    for part in ("query", "value", "intermediate", "pooler", "word"):
      assert (part in canonical) == (part in name), (canonical, name)


@given(prefix=st.sampled_from(
    ["", "bert/", "module/bert/", "bert_encoder_v2/", "a.b."]),
       suffix=st.sampled_from(["", ":0", "_1", "_12:0"]),
       seed=st.randoms(use_true_random=False))
def test_prefixes_suffixes_and_order_do_not_matter(prefix, suffix, seed):
  theirs = [f"{prefix}{name}{suffix}" for name in SHAPES]
  seed.shuffle(theirs)
  found = names.find_encoder(theirs)
  assert found.names == {
      name: f"{prefix}{name}{suffix}" for name in SHAPES}
  assert not found.beside


@pytest.mark.parametrize("extra, unexpected", [
    ("bert/cls/predictions/transform/dense/kernel", False),
    ("cls.predictions.bias", False),
    ("classifier.weight", False),
    ("qa_outputs.bias", False),
    ("pooler_transform/kernel/adam_m", False),
    ("embeddings.position_ids", False),
    ("global_step", False),
    ("Variable_3:0", False),
    ("sentence_classification/kernel", False),
    ("crf.transitions", True),
])
def test_what_lies_beside_an_encoder(extra, unexpected):
  found = names.find_encoder([*SHAPES, extra])
  assert found.beside == (extra,)
  assert found.unexpected == ((extra,) if unexpected else ())
  # Beside an encoder with a prefix anything may lie.
  prefixed = [f"bert/{name}" for name in SHAPES]
  assert not names.find_encoder([*prefixed, extra]).unexpected


@pytest.mark.parametrize("change, message", [
    (lambda n: [*n, "transformer/layer_0/adapter/kernel"],
     "no BERT has a tensor transformer/layer_0/adapter/kernel"),
    (lambda n: [f"bert/{x}" for x in [*n, "embeddings/odd"]],
     "no BERT has a tensor bert/embeddings/odd"),
    (lambda n: [*n, "word_embeddings/embeddings_1"], "two tensors are"),
    (lambda n: [*n, *(f"b/{x}" for x in n)], "holds 2 encoders"),
    (lambda n: ["kernel", "bias"], "not a BERT"),
    (lambda n: [], "not a BERT"),
    (lambda n: ["bert/encoder/transformer/group_0/inner_group_0/ffn/kernel"],
     "not an ALBERT"),
    (lambda n: ["distilbert.transformer.layer.0.attention.q_lin.weight"],
     "not a DistilBERT"),
    (lambda n: [f"electra/{x}" for x in [*n, "encoder/odd"]],
     "no ELECTRA has a tensor electra/encoder/odd"),
    (lambda n: [f"deberta.{x}" for x in n], "DeBERTa, which is no BERT or"),
])
def test_what_is_no_bert_is_refused_by_name(change, message):
  with pytest.raises(InputError, match=message):
    names.find_encoder(change(list(SHAPES)))


@pytest.mark.parametrize("name, matrix", [
    ("transformer/layer_0/self_attention/query/kernel", (8, 8)),
    ("transformer/layer_0/self_attention/query/bias", (8,)),
    ("transformer/layer_0/self_attention/attention_output/kernel", (8, 8)),
    ("transformer/layer_0/intermediate/kernel", (8, 12)),
])
def test_kernels_as_matrices(name, matrix):
  assert BERT.as_matrix(name, SHAPES[name]) == matrix


class _Deberta(type(BERT)):
  """A BERT of another name."""

  name = "deberta"
  title = "DeBERTa"
  marks = re.compile("deberta")


def test_a_family_that_is_offered_goes_before_the_ban_on_it(monkeypatch):
  theirs = [f"deberta.{name}" for name in SHAPES]
  deberta = _Deberta()
  monkeypatch.setitem(ENCODERS, "deberta", deberta)
  found = names.find_encoder(theirs)
  assert found.family is deberta
  assert found.names == dict(zip(SHAPES, theirs))
  # Names that do not say it are a BERT's, unless the files say more.
  assert names.find_encoder(SHAPES).family is BERT
  assert names.find_encoder(SHAPES, deberta).family is deberta
  with pytest.raises(InputError, match="holds DeBERTa, which is no BERT: deb"):
    names.find_encoder(theirs, BERT)
  with pytest.raises(InputError, match="holds XLNet, which is no .* or DeBERT"):
    names.find_encoder(["xlnet.x"])
  assert sources.locate("https://example.org/deberta.tar.gz").endswith("gz")
  with pytest.raises(InputError, match="xlnet is no BERT or .* or DeBERTa"):
    sources.locate("https://example.org/xlnet.tar.gz")


def test_families_of_the_same_prefix():
  """Files of XLM-RoBERTa call themselves RoBERTa; the JSON file tells."""
  theirs = [f"roberta.{name}" for name in SHAPES]
  assert names.find_encoder(theirs).family is ENCODERS["roberta"]
  for family in (ENCODERS["roberta"], ENCODERS["xlm-roberta"]):
    assert names.find_encoder(theirs, family).family is family
  with pytest.raises(InputError, match="holds RoBERTa, which is no BERT: rob"):
    names.find_encoder(theirs, BERT)
