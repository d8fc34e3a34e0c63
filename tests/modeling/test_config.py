import dataclasses
import json
import logging
import math

import numpy as np
import pytest

from tf_adapters import AdapterConfig, BertConfig, InputError
from tf_adapters.modeling.config import (
    check_options,
    option,
    option_of,
    options,
    parse_layers,
)
from tf_adapters.modeling.vocabularies.wordpiece import (
    WordpieceVocabulary as Vocabulary,
)


@pytest.mark.parametrize("config", [
    BertConfig(vocab_size=10, hidden_size=8, num_attention_heads=2),
    AdapterConfig(size=3, activation="relu", layers=(2, 0)),
    AdapterConfig(),
    AdapterConfig(positions=("output",), parallel=True, depth=2,
                  layer_norm=True, layer_norm_epsilon=1e-5),
    AdapterConfig.preset("pfeiffer"),
    AdapterConfig.preset("scaled_parallel"),
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
  assert pfeiffer.input == "normed"
  parallel = AdapterConfig.preset("parallel")
  assert (parallel.parallel, parallel.scaling) == (True, 4.0)
  assert AdapterConfig.preset("scaled_parallel") == dataclasses.replace(
      parallel, scaling=1.0, learned_scaling=True)
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
    (lambda: AdapterConfig(layers=(-1,)), "adapter layers must be numbers"),
    (lambda: AdapterConfig(layers=()), "adapter layers must be numbers"),
    (lambda: AdapterConfig(layers=5), "adapter layers must be numbers"),
    (lambda: AdapterConfig(init_scale="a"), "init_scale"),
    (lambda: AdapterConfig(positions=("middle",)), "positions"),
    (lambda: AdapterConfig(positions=()), "positions"),
    (lambda: AdapterConfig(depth=0), "depth"),
    (lambda: AdapterConfig(parallel=1), "parallel"),
    (lambda: AdapterConfig(parallel=True, input="normed"), "set input"),
    (lambda: AdapterConfig(scaling=math.inf), "scaling"),
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


@pytest.mark.parametrize("text, layers", [
    ("3", (3,)), ("6-8", (6, 7, 8)), ("0,5,2-3", (0, 2, 3, 5))])
def test_reads_layer_lists(text, layers):
  assert parse_layers(text) == layers


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-1", "1,,2", "1-2-3", "4-2", "0-99999999999"])
def test_refuses_other_layer_lists(text):
  with pytest.raises(InputError):
    parse_layers(text)


def _refuse_b(text):
  if text == "b":
    raise InputError("text cannot be b")


@dataclasses.dataclass(frozen=True)
class MadeUp:
  rate: float = option(0.5, "A rate.", least=0, below=1)
  scale: float | None = option(None, "A scale.")
  count: int = option(2, "A count.", least=1)
  widths: tuple[int, ...] | None = option(None, "Widths.", least=1, most=9)
  places: tuple[str, ...] = option(("a",), "Places.", choices=("a", "b"))
  place: str = option("", "A place.", choices=("a", "b"))
  text: str = option("a", "A text.", check=_refuse_b)
  switch: bool | None = option(None, "On or off.")
  of_another: int = option_of(AdapterConfig, "depth")
  plain: int = 0

  def __post_init__(self):
    check_options(self, "the ")


@pytest.mark.parametrize("values, message", [
    ({"rate": 1.0}, "the rate must be a number in the range [0, 1), not 1.0"),
    ({"rate": math.nan}, "the rate must be a number in the range [0, 1), not"),
    ({"rate": "x"}, "the rate must be a number in the range"),
    ({"rate": True}, "the rate must be a number in the range"),
    ({"rate": None}, "the rate must be a number in the range"),
    ({"scale": math.inf}, "the scale must be a number, not inf"),
    ({"count": 0}, "the count must be a positive integer, not 0"),
    ({"count": 2.0}, "the count must be a positive integer, not 2.0"),
    ({"widths": (1, 10)}, "the widths must be numbers from 1 to 9, with"),
    ({"widths": ()}, "the widths must be numbers from 1 to 9"),
    ({"widths": 1}, "the widths must be numbers from 1 to 9"),
    ({"places": ("c",)}, "the places must be some of a, b, not ('c',)"),
    ({"place": "c"}, "the place must be one of a, b, not 'c'"),
    ({"text": 1}, "the text must be text, not 1"),
    ({"text": "b"}, "text cannot be b"),
    ({"switch": 0}, "the switch must be true or false, not 0"),
    ({"of_another": 101}, "the of_another must be an integer in the range [1,"),
])
def test_options_are_held_to_their_bounds(values, message):
  with pytest.raises(InputError) as error:
    MadeUp(**values)
  assert str(error.value).startswith(message)


def test_numbers_of_numpy_become_pythons():
  found = MadeUp(np.float32(0.25), np.float64(2), np.int64(3), np.array([1, 9]),
                 places=np.array(["b", "a"]), switch=np.bool_(True))
  expected = MadeUp(0.25, 2.0, 3, (1, 9), places=("b", "a"), switch=True)
  assert found == expected and type(found.count) is int
  assert MadeUp(widths=[np.int32(4)]).widths == [4]
  assert type(MadeUp(widths=[np.int32(4)]).widths[0]) is int
  with pytest.raises(InputError, match="count must be .*, not 0"):
    MadeUp(count=np.int8(0))


def test_options_take_what_is_within():
  MadeUp()
  MadeUp(0, 1e9, 1, [1, 9], ("b", "a"), "a", "c", True, 100, -1)
  assert list(options(MadeUp))[-2:] == ["switch", "of_another"]
  of_another = options(MadeUp)["of_another"]
  assert dataclasses.replace(of_another, name="depth") == options(
      AdapterConfig)["depth"]
