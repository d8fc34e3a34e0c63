"""Writes the logits that AdapterHub gives for adapter files.

  read_adapterhub_files.py FOLDER_OF_FILES LOGITS

A file's folder is called as the family of its encoder, "." and a name.
"""

import pathlib
import sys

import numpy as np

from tests.peers.write_family_files import base_model, outputs_of


def main(folder: str, output: str) -> None:
  logits = {}
  for path in sorted(pathlib.Path(folder).iterdir()):
    family = path.name.split(".")[0]
    model = base_model(family, None)
    loading_info = {}
    name = model.load_adapter(
        str(path), use_safetensors=True, set_active=True,
        loading_info=loading_info)
    missing = [key for key in loading_info["missing_keys"]
               if "prefix_tuning.pool" not in key]  # other names of the same
    assert not missing, (path, missing)
    assert not loading_info.get("unexpected_keys"), (path, loading_info)
    assert model.active_head == name, path
    logits[path.name] = outputs_of(model.eval(), family)
  np.savez(output, **logits)


if __name__ == "__main__":
  main(*sys.argv[1:])
