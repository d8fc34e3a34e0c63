"""A bank of tasks of every kind, which takes long to be traced."""

import pytest

import tf_adapters as ta
from tests.conftest import write_tasks


@pytest.fixture(scope="session")
def hf_source(two_layer_source):
  """Two layers: a graph of all kinds of tasks takes long to be traced."""
  return two_layer_source


@pytest.fixture(scope="session")
def task_files(hf_source, tmp_path_factory):
  return write_tasks(hf_source, tmp_path_factory, "two_layer_adapters")


@pytest.fixture(scope="session")
def bank(hf_source, task_files):
  """To be looked at alone: who changes a bank makes one of its own."""
  return ta.AdapterBank(str(hf_source), task_files, max_length=20)
