import json
import logging

import pytest

from tf_adapters import AdapterConfig, BertConfig, InputError
from tf_adapters.modeling.vocabulary import Vocabulary


@pytest.mark.parametrize("config", [
    BertConfig(vocab_size=10, hidden_size=8, num_attention_heads=2),
    AdapterConfig(size=3, activation="relu", layers=(2, 0)),
    AdapterConfig(),
    AdapterConfig(positions=("output",), parallel=True, depth=2,
                  layer_norm=True),
])
def test_survives_json(config):
  values = json.loads(json.dumps(config.to_dict()))
  assert type(config).from_dict(values) == config


def test_layers_are_sorted_and_unique():
  assert AdapterConfig(layers=(5, 1, 5)).layers == (1, 5)


def test_presets():
  assert AdapterConfig.preset("houlsby") == AdapterConfig()
  pfeiffer = AdapterConfig.preset("pfeiffer", size=7)
  assert (pfeiffer.positions, pfeiffer.size) == (("output",), 7)
  assert AdapterConfig.preset("parallel").parallel
  assert AdapterConfig.preset("adapterhub_houlsby").activation == "swish"


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@pytest.mark.parametrize("make, message", [
    (lambda: BertConfig(vocab_size=0), "vocab_size"),
    (lambda: BertConfig(vocab_size=9, hidden_size=10), "multiple"),
    (lambda: BertConfig(vocab_size=9, hidden_act="mish"), "mish"),
    (lambda: BertConfig(vocab_size=9, hidden_dropout_prob=1.0), "dropout"),
    (lambda: AdapterConfig(size=0), "size"),
    (lambda: AdapterConfig(size=2.5), "size"),
    (lambda: AdapterConfig(activation="mish"), "mish"),
    (lambda: AdapterConfig(init_scale=-1), "init_scale"),
    (lambda: AdapterConfig(layers=(-1,)), "layer numbers"),
    (lambda: AdapterConfig(layers=()), "layer numbers"),
    (lambda: AdapterConfig(layers=5), "layer numbers"),
    (lambda: AdapterConfig(init_scale="a"), "init_scale"),
    (lambda: AdapterConfig(positions=("middle",)), "positions"),
    (lambda: AdapterConfig(positions=()), "positions"),
    (lambda: AdapterConfig(depth=0), "depth"),
    (lambda: AdapterConfig(parallel=1), "parallel"),
    (lambda: AdapterConfig.preset("compacter"), "one of houlsby, pfeiffer"),
    (lambda: BertConfig.from_dict({"hidden_size": 768}), "vocab_size"),
    (lambda: Vocabulary(("[PAD]", "[UNK]"), True), r"\[CLS\], \[SEP\]"),
    (lambda: Vocabulary((*SPECIAL, "a\0"), True), "token 4, .* wordpiece"),
    (lambda: Vocabulary((*SPECIAL, "\ud800"), True), "token 4, .* wordpiece"),
    (lambda: Vocabulary((*SPECIAL, "ก" * 100), True), "300 bytes"),
    (lambda: Vocabulary(SPECIAL, True, strip_accents="no"), "strip_accents"),
    (lambda: Vocabulary(SPECIAL, True, added=("a",)), "lacks .* 'a'"),
])
def test_refuses_bad_values(make, message):
  with pytest.raises(InputError, match=message):
    make()


def test_unknown_keys_are_left_out_with_a_warning(caplog):
  with caplog.at_level(logging.WARNING):
    config = AdapterConfig.from_dict({"size": 4, "colour": "red"})
  assert config == AdapterConfig(size=4)
  assert "colour" in caplog.text
