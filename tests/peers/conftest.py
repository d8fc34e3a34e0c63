import pytest

from tests.peers import tiny_bert


@pytest.fixture(scope="session")
def source(tmp_path_factory):
  return tiny_bert.write_encoder(tmp_path_factory.mktemp("tiny") / "bert")
