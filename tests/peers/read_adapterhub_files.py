"""Writes the logits that AdapterHub gives for adapter files.

  read_adapterhub_files.py FOLDER_OF_FILES LOGITS
"""

import pathlib
import sys

import adapters
import numpy as np
import torch
import transformers

from tests.peers import tiny_bert
from tests.peers.write_adapterhub_files import outputs_of


def main(folder: str, output: str) -> None:
  logits = {}
  for path in sorted(pathlib.Path(folder).iterdir()):
    model = adapters.BertAdapterModel(
        transformers.BertConfig(**tiny_bert.CONFIG))
    model.bert.load_state_dict({
        name: torch.tensor(array)
        for name, array in tiny_bert.base_tensors().items()}, strict=False)
    loading_info = {}
    name = model.load_adapter(
        str(path), use_safetensors=True, set_active=True,
        loading_info=loading_info)
    missing = [key for key in loading_info["missing_keys"]
               if "prefix_tuning.pool" not in key]  # other names of the same
    assert not missing, (path, missing)
    assert not loading_info.get("unexpected_keys"), (path, loading_info)
    assert model.active_head == name, path
    logits[path.name] = outputs_of(model.eval()).detach().numpy()
  np.savez(output, **logits)


if __name__ == "__main__":
  main(*sys.argv[1:])
