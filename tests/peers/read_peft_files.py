"""Writes the logits that PEFT gives for adapter files.

  read_peft_files.py FOLDER_OF_FILES LOGITS

A file's folder is called as the family of its encoder, "." and a name.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import peft
import safetensors.numpy

from tests.peers.write_family_files import TASK_TYPES, base_model, outputs_of


def main(folder: str, output: str) -> None:
  warnings.filterwarnings("error", ".*missing.*")
  logits = {}
  for path in sorted(pathlib.Path(folder).iterdir()):
    family = path.name.split(".")[0]
    task = json.loads((path / "adapter_config.json").read_text())["task_type"]
    kind, = (kind for kind, name in TASK_TYPES.items() if name == task)
    tensors = safetensors.numpy.load_file(path / "adapter_model.safetensors")
    outputs, = (len(array) for name, array in tensors.items()
                if name.endswith(("classifier.bias", "out_proj.bias",
                                  "qa_outputs.bias")))
    model = peft.PeftModel.from_pretrained(
        base_model(family, kind, outputs), str(path))
    logits[path.name] = outputs_of(model.eval(), family)
  np.savez(output, **logits)


if __name__ == "__main__":
  main(*sys.argv[1:])
