"""Reads the files that a sentence encoder has beside those of its BERT.

sentence-transformers lays them there: how the vectors of a text's tokens
become the one vector that the encoder was trained for.
"""

import pathlib

from tf_adapters.files.reading import read_json

_POOLING = "1_Pooling/config.json"
_SETTINGS = "config_sentence_transformers.json"
_OTHERS = ("modules.json", "sentence_bert_config.json")


def read_sentence_pooling(folder: pathlib.Path) -> str | None:
  """Reads a sentence encoder's pooling: "cls" or "mean"; None if it is none.

  Where its files name another way, such as the maximum, or none at all, it is
  the mean: the pooler of such an encoder has seen no sentence.

  Args:
    folder: of its BERT. In older models the other files are in the folder
      above.

  Raises:
    InputError: a file cannot be read.
  """
  for place in (folder, folder.parent):
    settings = {}
    if (place / _SETTINGS).is_file():
      settings = read_json(place / _SETTINGS)
    if settings.get("model_type") == "CrossEncoder":
      return None  # it has a head on the pooler
    if (place / _POOLING).is_file():
      config = read_json(place / _POOLING)
      # One flag for each way, or newer the name of one.
      ways = {name.removeprefix("pooling_mode_") for name, value in
              config.items() if name.startswith("pooling_mode_") and value}
      ways = ways or {str(config.get("pooling_mode"))}
      return "cls" if ways in ({"cls_token"}, {"cls"}) else "mean"
    if settings or any((place / name).is_file() for name in _OTHERS):
      return "mean"
  return None
