"""Writes adapter files of AdapterHub, and logits, for test_files.py.

Run it in the environment of make_adapterhub_goldens.py:

  PYTHONPATH=. peer/bin/python tests/peers/write_adapterhub_files.py [NAME ...]
"""

import pathlib
import shutil
import sys

import adapters
import numpy as np
import torch
import transformers

from tests.peers import tiny_bert, torch_step

FOLDER = pathlib.Path(__file__).parent / "adapterhub_files"
LABELS = {0: "no", 1: "yes", 2: "maybe"}

TWO = {"layers": 2}
ONE = {"layers": 1}
Bn = adapters.SeqBnConfig
# name: the method's configuration, the head
FILES = {
    "houlsby": (adapters.DoubleSeqBnConfig(reduction_factor=8), TWO),
    "pfeiffer": (Bn(reduction_factor=8), TWO),
    "parallel": (adapters.ParBnConfig(reduction_factor=8), ONE),
    "learned_scaling": (adapters.ParBnConfig(
        reduction_factor=8, scaling="learned"), ONE),
    "channel_scaling": (Bn(reduction_factor=8, scaling="channel"), ONE),
    "layer_norm": (Bn(reduction_factor=8, ln_before=True, leave_out=[0]), ONE),
    "sizes": (Bn(reduction_factor={"1": 16, "default": 8},
                 non_linearity="gelu"), ONE),
    "compacter": (adapters.CompacterConfig(reduction_factor=4), ONE),
    "compacter_plus_plus": (
        adapters.CompacterPlusPlusConfig(reduction_factor=4), ONE),
    "compacter_shared": (adapters.CompacterConfig(
        reduction_factor=4, shared_W_phm=True, factorized_phm_rule=True), ONE),
    "compacter_whole": (adapters.CompacterPlusPlusConfig(
        reduction_factor=4, factorized_phm_W=False), ONE),
    "lora": (adapters.LoRAConfig(r=2, alpha=6), ONE),
    "lora_all": (adapters.LoRAConfig(
        r=2, alpha=2, attn_matrices=["q", "k", "v"], intermediate_lora=True,
        output_lora=True), ONE),
    "ia3": (adapters.IA3Config(), ONE),
    "prefix_flat": (adapters.PrefixTuningConfig(
        flat=True, prefix_length=3, leave_out=[0]), ONE),
    "prefix_network": (adapters.PrefixTuningConfig(
        prefix_length=3, bottleneck_size=5), ONE),
    "mam": (adapters.MAMConfig(
        adapters.PrefixTuningConfig(prefix_length=3, bottleneck_size=5),
        adapters.ParBnConfig(reduction_factor=8)), ONE),
    "pooler": (Bn(reduction_factor=16), {"layers": 1, "use_pooler": True}),
    "regression": (Bn(reduction_factor=16), {**TWO, "num_labels": 1}),
    "multi_label": (Bn(reduction_factor=16), {**TWO, "kind": "multilabel"}),
    "tagging": (Bn(reduction_factor=16), {"kind": "tagging"}),
    "answers": (Bn(reduction_factor=16), {"kind": "answers"}),
    "no_labels": (Bn(reduction_factor=16), {**ONE, "id2label": None}),
    # As models of transformers have them, with one head.
    "static": (Bn(reduction_factor=16),
               {"model": transformers.BertForSequenceClassification}),
    "static_tagging": (Bn(reduction_factor=16),
                       {"model": transformers.BertForTokenClassification}),
}
# Written by torch.save; the others as safetensors.
PICKLES = ("houlsby", "layer_norm", "static", "prefix_flat", "prefix_network",
           "mam")


def make_model(name):
  """A model with an adapter "task" of random numbers."""
  config, head = FILES[name]
  head = dict(head)
  kind = head.pop("kind", "")
  bert = transformers.BertConfig(**tiny_bert.CONFIG)
  bert.name_or_path = "bert-base-uncased"
  static = head.pop("model", None)
  if static is not None:
    bert.num_labels = 3
    bert.id2label = LABELS
    bert.label2id = {label: number for number, label in LABELS.items()}
    model = static(bert)
    adapters.init(model)
    model.add_adapter("task", config=config)
  else:
    model = adapters.BertAdapterModel(bert)
    model.add_adapter("task", config=config)
    head.setdefault("num_labels", 3)
    head.setdefault("id2label", LABELS)
    if head["num_labels"] == 1:
      del head["id2label"]
    if kind == "tagging":
      model.add_tagging_head("task", **head)
    elif kind == "answers":
      model.add_qa_head("task")
    else:
      model.add_classification_head(
          "task", multilabel=kind == "multilabel", **head)
  model.bert.load_state_dict({
      name: torch.tensor(array)
      for name, array in tiny_bert.base_tensors().items()}, strict=False)
  model.train_adapter("task")
  torch_step.randomise(model)
  model.set_active_adapters("task")
  return model.eval()


def outputs_of(model):
  """The logits; of answers those of starts and ends, as [..., 2]."""
  outputs = model(**{name: torch.tensor(array) for name, array
                     in tiny_bert.INPUTS.items()})
  if "start_logits" in outputs:
    return torch.stack([outputs.start_logits, outputs.end_logits], -1)
  return outputs.logits


def main(names: list[str]) -> None:
  logits = dict(np.load(FOLDER / "logits.npz"))
  for name in names or FILES:
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    model = make_model(name)
    model.save_adapter(str(FOLDER / name), "task",
                       use_safetensors=name not in PICKLES)
    logits[name] = outputs_of(model).detach().numpy()
  np.savez_compressed(FOLDER / "logits.npz", **logits)


if __name__ == "__main__":
  main(sys.argv[1:])
