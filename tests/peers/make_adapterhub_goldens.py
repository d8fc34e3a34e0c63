"""Writes what AdapterHub computes, for test_adapterhub.py to compare with.

Run it in an environment of its own, from the root of the repository:

  python3 -m venv peer
  peer/bin/pip install torch==2.13.0 adapters==1.3.0
  PYTHONPATH=. peer/bin/python tests/peers/make_adapterhub_goldens.py
"""

import pathlib

import adapters

from tests.peers import torch_step

# Sizes are small: a hidden size of 32 divided by the reduction factor.
CONFIGS = {
    "houlsby": adapters.DoubleSeqBnConfig(reduction_factor=8),
    "pfeiffer": adapters.SeqBnConfig(reduction_factor=8),
    "parallel": adapters.ParBnConfig(reduction_factor=8),
    "scaled_parallel": adapters.ParBnConfig(
        reduction_factor=8, scaling="learned"),
    "learned_scaling": adapters.DoubleSeqBnConfig(
        reduction_factor=8, scaling="learned"),
    "layer_norm": adapters.SeqBnConfig(
        reduction_factor=8, ln_before=True, leave_out=[0]),
    "prefix_flat": adapters.PrefixTuningConfig(
        flat=True, prefix_length=3, leave_out=[0]),
    "prefix_network": adapters.PrefixTuningConfig(
        prefix_length=3, bottleneck_size=5),
    "compacter": adapters.CompacterConfig(reduction_factor=4),
    "mam": adapters.MAMConfig(
        adapters.PrefixTuningConfig(prefix_length=3, bottleneck_size=5),
        adapters.ParBnConfig(reduction_factor=8)),
    "compacter_plus_plus": adapters.CompacterPlusPlusConfig(reduction_factor=4),
}


def main() -> None:
  folder = pathlib.Path(__file__).parent / "adapterhub"
  for name, config in CONFIGS.items():
    model = torch_step.tiny_model()
    adapters.init(model)
    model.add_adapter("task", config=config)
    model.train_adapter("task")
    torch_step.randomise(model)
    torch_step.write_golden(folder / f"{name}.npz", model)


if __name__ == "__main__":
  main()
