"""One step of plain SGD in PyTorch, and what was computed, as a golden file."""

import numpy as np
import torch
import transformers

from tests.peers import tiny_bert


def tiny_model():
  """The tiny BERT of Hugging Face's transformers."""
  model = transformers.BertModel(
      transformers.BertConfig(**tiny_bert.CONFIG), add_pooling_layer=True)
  model.load_state_dict({
      name: torch.tensor(array)
      for name, array in tiny_bert.base_tensors().items()}, strict=False)
  return model


def randomise(model):
  """Gives what trains numbers with which it does something."""
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.requires_grad:
        parameter.copy_(torch.tensor(tiny_bert.draw(name, parameter.shape)))


def write_golden(path, model):
  """Trains a model with a head by a step, and writes all that was computed.

  Args:
    path: the .npz: "before/..." and "after/..." of all that trains,
      "sequence_output" and "logits" of the weights before.
    model: returns "last_hidden_state"; what trains requires a gradient.
  """
  head = torch.nn.Linear(tiny_bert.CONFIG["hidden_size"], tiny_bert.NUM_LABELS)
  head.load_state_dict({name: torch.tensor(array)
                        for name, array in tiny_bert.head().items()})
  trained = {
      **{name: parameter for name, parameter in model.named_parameters()
         if parameter.requires_grad},
      **{f"head.{name}": parameter
         for name, parameter in head.named_parameters()}}
  arrays = {f"before/{name}": parameter.detach().numpy().copy()
            for name, parameter in trained.items()}
  hidden = model(**{name: torch.tensor(array) for name, array
                    in tiny_bert.INPUTS.items()}).last_hidden_state
  logits = head(hidden[:, 0])
  optimizer = torch.optim.SGD(trained.values(), tiny_bert.LEARNING_RATE)
  torch.nn.functional.cross_entropy(
      logits, torch.tensor(tiny_bert.LABELS)).backward()
  optimizer.step()
  arrays |= {f"after/{name}": parameter.detach().numpy()
             for name, parameter in trained.items()}
  np.savez_compressed(path, **arrays, logits=logits.detach().numpy(),
                      sequence_output=hidden.detach().numpy())
