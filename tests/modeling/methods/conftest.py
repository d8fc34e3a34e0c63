"""Encoders of two layers, which are traced sooner."""

import pytest


@pytest.fixture(scope="session")
def hf_source(two_layer_source):
  return two_layer_source
