"""Flags are the options of configurations."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from tests.tools.calling import call
from tf_adapters.data.cell_rows import check_delimiter
from tf_adapters.data.squad_options import SquadOptions
from tf_adapters.errors import InputError
from tf_adapters.modeling.config import options
from tf_adapters.modeling.methods.bottleneck import AdapterConfig
from tf_adapters.modeling.methods.compacter import CompacterConfig
from tf_adapters.modeling.methods.ia3 import IA3Config
from tf_adapters.modeling.methods.lora import LoraConfig
from tf_adapters.modeling.methods.prefix import PrefixConfig
from tf_adapters.modeling.methods.table import METHODS
from tf_adapters.modeling.network_config import NetworkConfig
from tf_adapters.tools import glue, squad
from tf_adapters.tools._flag_mistakes import with_dashes
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_config import (
    GlueRunConfig,
    RunConfig,
    SquadRunConfig,
)

ROOT = pathlib.Path(__file__).parents[2]


def test_a_tab_survives_a_flag_file():
  """absl takes blanks off the ends of lines."""
  config = OwnRunConfig(data="x.csv", delimiter="\t")
  (line,) = (line for line in config.flag_lines() if "delimiter" in line)
  name, _, text = line.strip().partition("=")
  assert name == "--delimiter" and check_delimiter(text) == "\t"


@pytest.mark.parametrize("tool, config", [
    (glue, GlueRunConfig), (squad, SquadRunConfig)])
def test_every_field_of_a_run_is_a_flag(tool, config):
  found = {flag.name: flag
           for flag in flags.FLAGS.get_key_flags_for_module(tool)}
  assert found.keys() == {field.name for field in dataclasses.fields(config)}
  for option in options(config).values():
    flag = found[option.name]
    assert flag.default == (None if option.default == "" else option.default)
    assert option.help in flag.help


@pytest.mark.parametrize("config, name", [
    (AdapterConfig, "adapter_{}"), (LoraConfig, "lora_{}"),
    (IA3Config, "ia3_{}"),
    (PrefixConfig, "prefix_{}"), (CompacterConfig, "compacter_{}"),
    (NetworkConfig, "{}"), (SquadOptions, "{}")])
def test_options_of_a_model_have_the_same_bounds_in_a_run(config, name):
  for option in options(config).values():
    flag = name.format(option.name)
    if option.name == "version_2":
      flag = "version_2_with_negative"
    of_run = options(SquadRunConfig)[flag]
    assert option.help in of_run.help
    assert dataclasses.replace(
        of_run, name=option.name, help=option.help, default=option.default,
        optional=option.optional) == option


@pytest.mark.parametrize("values", [
    {"learning_rate": math.nan}, {"tuning": "all"}, {"class_weight": "spam"},
    {"adapter_size": 0}, {"pooling": "max"}, {"seed": -1},
    {"batch_widths": (0,)}])
def test_a_run_refuses_what_its_flags_refuse(values):
  name, = values
  with pytest.raises(InputError, match=name):
    RunConfig(**values)


@pytest.mark.parametrize("argument, message", [
    ("--adapter_positions=middle", "expected some of attention, output"),
    ("--adapter_dropout=1", "expected a number in the range [0, 1)"),
    ("--adapter_init_scale=nan", "expected a number in the range [0, 1]"),
    ("--adapter_activation=silu", "expected one of gelu, gelu_tanh"),
    ("--adapter_layers=0-99999", "no list of layers such as 6-11"),
    ("--adapter_parallel=maybe", "expected true or false"),
])
def test_a_value_out_of_bounds_is_one_line(argument, message, capsys):
  assert call(glue, argument) == 2
  error = capsys.readouterr().err
  assert error.startswith(f"error: flag {argument}: ")
  assert message in error
  assert error.count("\n") == 1


@pytest.mark.parametrize("message, shown", [
    ("data_dir says where it is", "--data_dir says where it is"),
    ("text_column, text_pair_column or task_column says",
     "--text_column, --text_pair_column or --task_column says"),
    ("holds a run with encoder=a, not b: choose another output_dir",
     "holds a run with --encoder=a, not b: choose another --output_dir"),
    ("--data_dir=x, the encoder, data", "--data_dir=x, the encoder, data"),
    ("my/data_dir/x.csv: no column 'text_column'",
     "my/data_dir/x.csv: no column 'text_column'"),
    ("flags.data_dir, data_dirs, data_dir.csv, a.encoder=x, data_dir=x",
     "flags.data_dir, data_dirs, data_dir.csv, a.encoder=x, --data_dir=x"),
    ("fit(encoder=...)", "fit(encoder=...)"),
])
def test_arguments_in_messages_are_called_as_flags_are(message, shown):
  names = ["data_dir", "text_column", "text_pair_column", "task_column",
           "encoder", "data", "output_dir"]
  assert with_dashes(message, names) == shown


# A method that is put into the table before the tools are imported.
_MADE_UP = """
import dataclasses, sys
from typing import ClassVar
from tf_adapters.modeling.config import check_options, option
from tf_adapters.modeling.methods.method import Method
from tf_adapters.modeling.methods.table import METHODS

@dataclasses.dataclass(frozen=True)
class Gate(Method):
  name: ClassVar[str] = "made_up"
  suffix: ClassVar[str] = "gate"
  scale: float = option(0.5, "Scale of the gates.", least=0, most=1)
  layers: tuple[int, ...] | None = None

  def __post_init__(self):
    check_options(self, "gate ")

METHODS["made_up"] = Gate
from tf_adapters.errors import InputError
from tf_adapters.tools import _flag_reader, glue
from tf_adapters.training.unread_flags import unread_method_flags

flags = _flag_reader.FlagReader(glue)
common = {"task_name": "rte", "output_dir": "x", "method": "made_up"}
given = flags.config({**common, "gate_scale": "1", "adapter_size": "8"})
assert given.method_config() == Gate(scale=1), given
assert "--gate_scale=1.0" in given.flag_lines()
assert unread_method_flags(given) == ["adapter_size"]
assert flags.config(common).method_config() == Gate()
assert unread_method_flags(flags.config({
    **common, "method": "bottleneck", "gate_scale": "1"})) == ["gate_scale"]
assert unread_method_flags(flags.config({
    **common, "tuning": "full"})) == ["method"]
try:
  flags.check("gate_scale", "2")
except InputError as error:
  print(error)
sys.argv = ["tf-adapters", "--help"]
glue.main()
"""


def test_a_new_method_s_options_are_flags():
  done = subprocess.run([sys.executable, "-c", _MADE_UP], capture_output=True,
                        text=True, cwd=ROOT)
  assert done.returncode == 0, done.stderr
  assert ("flag --gate_scale=2: expected a number in the range [0, 1]"
          in done.stdout)
  assert "--gate_scale: Scale of the gates. (default: 0.5)" in done.stdout
  assert (f"[one of {', '.join([*METHODS, 'made_up'])}; default: bottleneck]"
          in " ".join(done.stdout.split()))
