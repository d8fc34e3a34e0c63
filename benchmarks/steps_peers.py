"""Measures training steps and predictions of steps.py's peers.

| peer | what trains |
|---|---|
| adapterhub | adapters of size 64; all of it where the tuning is "full" |
| peft | LoRA of rank 16 on queries and values |

Each as it is ("eager"), and under `torch.compile` ("compiled"). They get what
the project gets: a batch of 32 rows of random tokens, AdamW, gradients clipped
by their norm. In bfloat16 they compute under `torch.autocast`. AdapterHub's
model has its own classification head, PEFT's a head on the pooled first token.

Run by steps.py in the peers' environment.
"""

import statistics
from typing import Any

import common

# By tuning.
PEERS = {"adapters": ("adapterhub", "peft"), "full": ("adapterhub",)}
FORMS = ("eager", "compiled")
# A compiled model is compiled in the first call, and may be in the second.
WARM_UP = 3


def peer(library: str, form: str, length: int, precision: str, tuning: str,
         steps: int) -> dict[str, float]:
  """Trains for some steps, and predicts some batches, after the first ones."""
  import torch

  model = {"adapterhub": _adapterhub, "peft": _peft}[library](tuning)
  trained = [one for one in model.parameters() if one.requires_grad]
  optimizer = torch.optim.AdamW(trained, 3e-4)
  batch, labels = common.torch_batch(length)
  called = torch.compile(model) if form == "compiled" else model

  def logits() -> Any:
    with torch.autocast("cpu", torch.bfloat16, precision == "bfloat16"):
      return called(**batch).logits.float()

  def step() -> None:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(logits(), labels).backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()

  def rate(function: Any) -> float:
    seconds = common.seconds_of_calls(function, WARM_UP + steps)
    return common.BATCH_SIZE / statistics.median(seconds[WARM_UP:])

  model.train()
  answer = {
      "train_examples_per_second": rate(step),
      "trained_parameters": sum(one.numel() for one in trained)}
  model.eval()
  with torch.inference_mode():
    answer["infer_examples_per_second"] = rate(logits)
  return answer


def _adapterhub(tuning: str) -> Any:
  import adapters

  config = _config()
  model = adapters.AutoAdapterModel.from_config(config)
  model.add_classification_head("task", num_labels=2)
  if tuning == "adapters":
    model.add_adapter("task", config=adapters.DoubleSeqBnConfig(
        reduction_factor=config.hidden_size / common.ADAPTER_SIZE,
        non_linearity="gelu_new"))
    model.train_adapter("task")
    model.set_active_adapters("task")
  return model


def _peft(tuning: str) -> Any:
  import peft
  import transformers

  assert tuning == "adapters"
  return peft.get_peft_model(
      transformers.BertForSequenceClassification(_config()),
      peft.LoraConfig(task_type="SEQ_CLS", r=16))


def _config() -> Any:
  import transformers

  return transformers.BertConfig(**common.SIZES)
