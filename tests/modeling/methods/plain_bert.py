"""Encoders with a method against plain BERT with arrays that hold it."""

import numpy as np

from tests import reference


def assert_computes(encoder, arrays, inputs):
  """An encoder gives what BERT computes with arrays; not looked at: padding."""
  sequence, pooled = reference.bert(
      arrays, *(inputs[f"input_{name}"].numpy()
                for name in ("word_ids", "mask", "type_ids")))
  outputs = encoder(inputs)
  mask = inputs["input_mask"].numpy() == 1
  np.testing.assert_allclose(
      outputs["sequence_output"][mask], sequence[mask], atol=1e-5)
  np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=1e-5)
