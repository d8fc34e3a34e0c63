"""Writes files of AdapterHub and PEFT for tiny encoders of other families.

They are those of tests/checkpoints/families. Run it in an environment of its
own, from the root of the repository, for test_family_files.py:

  python3 -m venv peer
  peer/bin/pip install torch==2.13.0 adapters==1.3.0 peft==0.21.2
  PYTHONPATH=. peer/bin/python tests/peers/write_family_files.py
"""

import shutil

import adapters
import numpy as np
import peft
import torch
import transformers

from tests.peers import torch_step
from tests.peers.families import (
    FOLDER,
    base_tensors,
    inputs_of,
    model_config,
)

LABELS = {0: "no", 1: "yes", 2: "maybe"}
STATIC = {"texts": transformers.AutoModelForSequenceClassification,
          "tags": transformers.AutoModelForTokenClassification,
          "answers": transformers.AutoModelForQuestionAnswering}
TASK_TYPES = {"texts": "SEQ_CLS", "tags": "TOKEN_CLS",
              "answers": "QUESTION_ANS"}
Bn, Houlsby = adapters.SeqBnConfig, adapters.DoubleSeqBnConfig
Lora = adapters.LoRAConfig
Prefix = adapters.PrefixTuningConfig
ONE, TWO = {"layers": 1}, {"layers": 2}

# family/name: the method, and the head: of the library's own, or by its name in
# `STATIC` that of a model of transformers.
ADAPTERHUB = {
    "roberta/houlsby": (Houlsby(reduction_factor=4), TWO),
    "roberta/lora": (Lora(r=2, alpha=6, attn_matrices=["q", "k", "v"],
                          intermediate_lora=True, output_lora=True), ONE),
    "roberta/ia3": (adapters.IA3Config(), {"use_pooler": True, **ONE}),
    "roberta/prefix": (Prefix(flat=True, prefix_length=3), ONE),
    "roberta/static": (Bn(reduction_factor=4), "texts"),
    "xlm-roberta/static": (Bn(reduction_factor=4), "texts"),
    "distilbert/houlsby": (Houlsby(reduction_factor=4), ONE),
    "distilbert/parallel": (adapters.ParBnConfig(reduction_factor=4), "tags"),
    "distilbert/lora": (Lora(r=2, alpha=6, attn_matrices=["q", "k", "v"],
                             intermediate_lora=True, output_lora=True), ONE),
    "electra/compacter": (adapters.CompacterConfig(
        reduction_factor=2, phm_dim=2), TWO),
    "electra/answers": (Bn(reduction_factor=4), "answers"),
    "albert/pfeiffer": (Bn(reduction_factor=4), TWO),
    "albert/prefix": (Prefix(flat=True, prefix_length=3), ONE),
    "albert/lora": (Lora(r=2, alpha=6, attn_matrices=["q", "k", "v"],
                         intermediate_lora=True, output_lora=True), "texts"),
}
# Written by torch.save; safetensors take no prefixes, which have several names.
PICKLES = ("roberta/houlsby", "roberta/prefix", "albert/prefix")

ALL = {
    "roberta": ["query", "key", "value", "attention.output.dense",
                "intermediate.dense", "output.dense"],
    "distilbert": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    "albert": ["query", "key", "value", "attention.dense", "ffn", "ffn_output"]}
PEFT = {
    "roberta/lora_texts": (peft.LoraConfig, {
        "r": 2, "lora_alpha": 6, "target_modules": ALL["roberta"]}, "texts"),
    "roberta/ia3_answers": (peft.IA3Config, {}, "answers"),
    "xlm-roberta/dora_tags": (peft.LoraConfig, {"r": 2, "use_dora": True},
                              "tags"),
    "xlm-roberta/norms_texts": (peft.LNTuningConfig, {
        "target_modules": ["LayerNorm"]}, "texts"),
    "distilbert/lora_answers": (peft.LoraConfig, {
        "r": 2, "target_modules": ALL["distilbert"]}, "answers"),
    "electra/lora_tags": (peft.LoraConfig, {"r": 2}, "tags"),
    "albert/lora_texts": (peft.LoraConfig, {
        "r": 2, "lora_alpha": 6, "target_modules": ALL["albert"]}, "texts"),
    "albert/norms_texts": (peft.LNTuningConfig, {
        "target_modules": ["LayerNorm", "full_layer_layer_norm"],
        "modules_to_save": ["pooler"]}, "texts"),
}


def base_model(family, kind, outputs=3):
  """A model of transformers with the golden's weights.

  Args:
    family: of the encoder.
    kind: of `STATIC`; None for one of AdapterHub without a head.
    outputs: of the head.
  """
  config = transformers.AutoConfig.for_model(**model_config(family))
  config.name_or_path = f"org/tiny-{family}"
  if kind in ("texts", "tags"):
    config.id2label = {number: LABELS[number] for number in range(outputs)}
    config.label2id = {label: number
                       for number, label in config.id2label.items()}
  if kind is None:
    model = adapters.AutoAdapterModel.from_config(config)
  else:
    model = STATIC[kind].from_config(config)
  load_base(model, family)
  return model


def load_base(model, family):
  """Gives the encoder in a model the golden's weights."""
  encoder = getattr(model, model.base_model_prefix)
  missing = encoder.load_state_dict({
      name: torch.tensor(array)
      for name, array in base_tensors(family).items()},
      strict=False).missing_keys
  # AdapterHub has the embeddings a second time.
  assert all(name.startswith("prompt_tuning.") for name in missing), missing


def adapterhub_model(path):
  family = path.split("/")[0]
  config, head = ADAPTERHUB[path]
  if isinstance(head, str):
    model = base_model(family, head)
    adapters.init(model)
    model.add_adapter("task", config=config)
  else:
    model = base_model(family, None)
    model.add_adapter("task", config=config)
    model.add_classification_head("task", num_labels=3, id2label=LABELS, **head)
  model.train_adapter("task")
  torch_step.randomise(model)
  model.set_active_adapters("task")
  return model.eval()


def peft_model(path):
  family = path.split("/")[0]
  kind, values, head = PEFT[path]
  model = peft.get_peft_model(
      base_model(family, head), kind(task_type=TASK_TYPES[head], **values))
  begins = {name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and (
                "magnitude" in name or "norm" in name.lower())}
  torch_step.randomise(model)
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if name in begins:  # not about zero
        parameter += begins[name]
  model.peft_config["default"].base_model_name_or_path = f"org/tiny-{family}"
  return model.eval()


def outputs_of(model, family):
  """The logits; of answers those of starts and ends, as [..., 2]."""
  with torch.inference_mode():
    outputs = model(**{name: torch.tensor(array).long()
                       for name, array in inputs_of(family).items()})
  if "start_logits" in outputs:
    return torch.stack([outputs.start_logits, outputs.end_logits], -1).numpy()
  return outputs.logits.numpy()


def main() -> None:
  shutil.rmtree(FOLDER, ignore_errors=True)
  logits = {}
  for library, tasks in (("adapterhub", ADAPTERHUB), ("peft", PEFT)):
    for path in tasks:
      family, name = path.split("/")
      folder = FOLDER / library / f"{family}-{name}"
      folder.mkdir(parents=True)
      if library == "adapterhub":
        model = adapterhub_model(path)
        model.save_adapter(str(folder), "task",
                           use_safetensors=path not in PICKLES)
      else:
        model = peft_model(path)
        model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink()
      logits[f"{library}/{folder.name}"] = outputs_of(model, family)
  np.savez_compressed(FOLDER / "logits.npz", **logits)


if __name__ == "__main__":
  main()
