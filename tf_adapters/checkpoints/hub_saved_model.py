"""Reads TF Hub's encoders: SavedModels v1 to v4, and TF1 Hub modules.

The SavedModel's graph is neither loaded nor run: tensors are read from its
checkpoint, and what they do not tell of the architecture from the graph's text.
"""

import pathlib

from tf_adapters.checkpoints.checkpoint import Checkpoint, find_encoder
from tf_adapters.checkpoints.encoder_config import (
    CONFIG_NAMES,
    EncoderConfigFile,
    infer_config,
)
from tf_adapters.checkpoints.saved_model_graph import SavedModelGraph
from tf_adapters.checkpoints.tensor_bundle import TensorBundle
from tf_adapters.checkpoints.vocabulary_files import find_asset
from tf_adapters.errors import InputError, about
from tf_adapters.files.reading import read_json
from tf_adapters.modeling.encoders.family import EncoderConfig, EncoderFamily
from tf_adapters.modeling.encoders.table import config_from_dict, family_of
from tf_adapters.modeling.vocabulary import Vocabulary

# Of `hub_export`, with what graphs do not tell; TF Hub's have none.
OWN_CONFIG_NAME = "encoder_config.json"

_LOWER_CASE_KEY = "do_lower_case/.ATTRIBUTES/VARIABLE_VALUE"


def read_hub_saved_model(folder: pathlib.Path) -> Checkpoint:
  """Opens a folder with saved_model.pb, variables/ and assets/vocab.txt.

  An encoder_config.json of `hub_export`, or a bert_config.json, which TF Hub's
  have not, goes before its graph.

  Raises:
    InputError: it is damaged, or no encoder that is offered.
  """
  graph = SavedModelGraph(folder)
  bundle = TensorBundle(folder / "variables" / "variables", folder)
  config: EncoderConfig
  if (folder / OWN_CONFIG_NAME).exists():
    values = read_json(folder / OWN_CONFIG_NAME)
    with about(folder / OWN_CONFIG_NAME):
      config = config_from_dict(values)
    found = find_encoder(bundle, family_of(config))
  elif (folder / CONFIG_NAMES[0]).exists():
    file = EncoderConfigFile(folder / CONFIG_NAMES[0])
    found = find_encoder(bundle, file.family)
    config = file.config(found.family)
  else:
    found = find_encoder(bundle)
    config = infer_config(bundle, found, graph)
  if graph.normalises_first():
    raise InputError(
        f"{folder}: its layer norms come before the sub-layers, "
        f"{found.family.title}'s after")
  return Checkpoint(
      "TF2 Hub SavedModel" if bundle.object_based else "TF1 Hub module",
      folder, bundle, found, config,
      _read_vocabulary(folder, graph, bundle, found.family))


def _read_vocabulary(
    folder: pathlib.Path, graph: SavedModelGraph, bundle: TensorBundle,
    family: EncoderFamily) -> Vocabulary | None:
  if bundle.object_based:
    lower_case = bundle.read_key(_LOWER_CASE_KEY)
    if lower_case is not None and (
        lower_case.size != 1 or lower_case.dtype != bool):
      raise InputError(f"{folder}: do_lower_case is not a boolean")
  else:
    lower_case = graph.constant_output("tokenization_info", "do_lower_case")
  return find_asset(folder / "assets", family,
                    None if lower_case is None else bool(lower_case))
