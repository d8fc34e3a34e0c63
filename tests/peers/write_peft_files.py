"""Writes adapter files of PEFT, and logits, for test_files.py.

Run it in the environment of make_peft_goldens.py:

  PYTHONPATH=. peer/bin/python tests/peers/write_peft_files.py
"""

import pathlib
import shutil

import numpy as np
import peft
import torch
import transformers

from tests.peers import tiny_bert, torch_step

FOLDER = pathlib.Path(__file__).parent / "peft_files"
ALL = ["query", "key", "value", "attention.output.dense", "intermediate.dense",
       "output.dense"]

Lora = peft.LoraConfig
TEXTS = {"task_type": "SEQ_CLS"}
# name: the configuration, how many labels
FILES = {
    "lora": (Lora(r=2, lora_alpha=6, **TEXTS), 3),
    "lora_all": (Lora(r=2, lora_alpha=2, target_modules=ALL, **TEXTS), 3),
    "rslora": (Lora(r=4, lora_alpha=3, use_rslora=True, target_modules=["key"],
                    layers_to_transform=[1], **TEXTS), 3),
    "patterns": (Lora(
        r=2, lora_alpha=6, target_modules=["query", "value"],
        rank_pattern={"layer.1.attention.self.query": 3},
        alpha_pattern={"value": 5}, **TEXTS), 3),
    "some_layers": (Lora(
        r=2, target_modules=r".*(layer\.0.*query|layer\.1.*value)", **TEXTS),
                    3),
    "dora": (Lora(r=2, lora_alpha=6, use_dora=True, target_modules=ALL[2:5],
                  **TEXTS), 3),
    "bias": (Lora(r=2, bias="lora_only", **TEXTS), 3),
    "all_biases": (Lora(r=2, bias="all", **TEXTS), 3),
    "ia3": (peft.IA3Config(**TEXTS), 3),
    "ia3_outputs": (peft.IA3Config(
        target_modules=["key", "value", "intermediate.dense"],
        feedforward_modules=[], **TEXTS), 3),
    "layer_norms": (peft.LNTuningConfig(
        target_modules=["LayerNorm"], **TEXTS), 3),
    "some_layer_norms": (peft.LNTuningConfig(
        target_modules=["attention.output.LayerNorm"], **TEXTS), 3),
    "pooler": (Lora(r=2, modules_to_save=["pooler", "classifier"], **TEXTS), 3),
    "regression": (Lora(r=2, **TEXTS), 1),
    "tagging": (Lora(r=2, task_type="TOKEN_CLS"), 3),
}
PICKLES = ("lora_all", "pooler", "layer_norms")
MODELS = {
    "SEQ_CLS": transformers.AutoModelForSequenceClassification,
    "TOKEN_CLS": transformers.AutoModelForTokenClassification}


def make_model(name):
  """A model with an adapter of random numbers."""
  config, num_labels = FILES[name]
  model = MODELS[config.task_type].from_config(
      transformers.BertConfig(**tiny_bert.CONFIG, num_labels=num_labels))
  model.bert.load_state_dict({
      name: torch.tensor(array)
      for name, array in tiny_bert.base_tensors().items()}, strict=False)
  model = peft.get_peft_model(model, config)
  begins = {name: values.detach().clone()
            for name, values in model.named_parameters()
            if "magnitude" in name or "LayerNorm.weight" in name
            or "layer_norm" in name}
  torch_step.randomise(model)
  with torch.no_grad():
    for parameter, values in model.named_parameters():
      if parameter in begins and values.requires_grad:  # not about zero
        values += begins[parameter]
  model.peft_config["default"].base_model_name_or_path = "bert-base-uncased"
  return model.eval()


def outputs_of(model):
  """The logits."""
  return model(**{name: torch.tensor(array) for name, array
                  in tiny_bert.INPUTS.items()}).logits


def main() -> None:
  shutil.rmtree(FOLDER, ignore_errors=True)
  FOLDER.mkdir()
  logits = {}
  for name in FILES:
    model = make_model(name)
    model.save_pretrained(str(FOLDER / name), save_embedding_layers=False,
                          safe_serialization=name not in PICKLES)
    (FOLDER / name / "README.md").unlink()
    logits[name] = outputs_of(model).detach().numpy()
  np.savez_compressed(FOLDER / "logits.npz", **logits)


if __name__ == "__main__":
  main()
