"""Writes what PEFT computes, for test_peft.py to compare with.

Run it in an environment of its own, from the root of the repository:

  python3 -m venv peer
  peer/bin/pip install torch==2.13.0 peft==0.21.2 transformers==4.57.6
  PYTHONPATH=. peer/bin/python tests/peers/make_peft_goldens.py
"""

import pathlib

import peft
import torch

from tests.peers import torch_step

ALL = ["query", "key", "value", "attention.output.dense", "intermediate.dense",
       "output.dense"]
CONFIGS = {
    "lora": peft.LoraConfig(r=2, lora_alpha=2),
    "lora_all": peft.LoraConfig(r=4, lora_alpha=2, target_modules=ALL),
    "rslora": peft.LoraConfig(
        r=4, lora_alpha=3, use_rslora=True, target_modules=["key", "value"],
        layers_to_transform=[1]),
    "dora": peft.LoraConfig(r=2, lora_alpha=2, use_dora=True),
    "dora_all": peft.LoraConfig(
        r=2, lora_alpha=6, use_dora=True, target_modules=ALL),
    "ia3": peft.IA3Config(),
    "ia3_outputs": peft.IA3Config(
        target_modules=["key", "value", "intermediate.dense"],
        feedforward_modules=[]),
}


def main() -> None:
  folder = pathlib.Path(__file__).parent / "peft"
  folder.mkdir(exist_ok=True)
  for name, config in CONFIGS.items():
    model = peft.get_peft_model(torch_step.tiny_model(), config)
    begins = {parameter: values.detach().clone() for parameter, values
              in model.named_parameters() if "magnitude" in parameter}
    torch_step.randomise(model)
    with torch.no_grad():
      for parameter, values in model.named_parameters():
        if parameter in begins:  # DoRA's are not about zero
          values += begins[parameter]
    torch_step.write_golden(folder / f"{name}.npz", model)


if __name__ == "__main__":
  main()
