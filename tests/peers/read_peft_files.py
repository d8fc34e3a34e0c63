"""Writes the logits that PEFT gives for adapter files.

  read_peft_files.py FOLDER_OF_FILES LOGITS
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import peft
import safetensors.numpy
import torch
import transformers

from tests.peers import tiny_bert
from tests.peers.write_peft_files import MODELS, outputs_of


def main(folder: str, output: str) -> None:
  warnings.filterwarnings("error", ".*missing.*")
  logits = {}
  for path in sorted(pathlib.Path(folder).iterdir()):
    task = json.loads((path / "adapter_config.json").read_text())["task_type"]
    tensors = safetensors.numpy.load_file(path / "adapter_model.safetensors")
    model = MODELS[task].from_config(transformers.BertConfig(
        **tiny_bert.CONFIG,
        num_labels=len(tensors["base_model.model.classifier.bias"])))
    model.bert.load_state_dict({
        name: torch.tensor(array)
        for name, array in tiny_bert.base_tensors().items()}, strict=False)
    model = peft.PeftModel.from_pretrained(model, str(path))
    logits[path.name] = outputs_of(model.eval()).detach().numpy()
  np.savez(output, **logits)


if __name__ == "__main__":
  main(*sys.argv[1:])
