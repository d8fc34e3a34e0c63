"""A bank of tasks of every kind, which takes long to be traced."""

import pytest

import tf_adapters as ta


@pytest.fixture(scope="session")
def bank(hf_source, task_files):
  """To be looked at alone: who changes a bank makes one of its own."""
  return ta.AdapterBank(str(hf_source), task_files, max_length=20)
