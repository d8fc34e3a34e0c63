"""Writes files of torch.save of every kind, for test_torch_pickle.py.

Run it in an environment with PyTorch, from the root of the repository:

  PYTHONPATH=. peer/bin/python tests/peers/write_torch_files.py
"""

import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent / "torch_files"


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  numbers = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
  tensors = {
      "plain": numbers, "transposed": numbers.T, "part": numbers[1:3, ::2],
      "half": numbers.half(), "bfloat16": numbers.bfloat16(),
      "double": numbers.double(), "integers": torch.arange(3),
      "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
      "parameter": torch.nn.Parameter(numbers[0])}
  torch.save(tensors, FOLDER / "tensors.bin")
  torch.save(torch.nn.Linear(2, 3).state_dict(), FOLDER / "state_dict.bin")
  torch.save(tensors, FOLDER / "old.bin",
             _use_new_zipfile_serialization=False)
  np.savez_compressed(FOLDER / "tensors.npz", **{
      name: tensor.detach().to(
          torch.float32 if tensor.dtype == torch.bfloat16 else tensor.dtype)
      .numpy() for name, tensor in tensors.items()})


if __name__ == "__main__":
  main()
