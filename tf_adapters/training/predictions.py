"""How predictions are written: GLUE submissions, and labels with scores."""

from collections.abc import Sequence

import numpy as np
import scipy.special

from tf_adapters.data.tasks import Split


def submission_lines(split: Split, outputs: np.ndarray,
                      labels: Sequence[str]) -> list[str]:
  """Lines as the GLUE server takes them."""
  if labels:
    predictions = [labels[number] for number in outputs.argmax(axis=-1)]
  else:  # STS-B: similarity from 0 to 5
    predictions = [f"{value:.3f}"
                   for value in np.clip(outputs[:, 0], 0.0, 5.0)]
  return ["index\tprediction", *(
      f"{row}\t{prediction}"
      for row, prediction in zip(split.ids, predictions))]


def prediction_lines(split: Split, outputs: np.ndarray,
                      labels: Sequence[str]) -> list[str]:
  """Lines with the probability of every label, for tasks without a server."""
  if not labels:
    return ["index\tprediction", *(
        f"{row}\t{value:.6g}" for row, value in zip(split.ids, outputs[:, 0]))]
  lines = ["\t".join(["index", "prediction", *labels])]
  for row, values in zip(split.ids, scipy.special.softmax(outputs, axis=-1)):
    lines.append("\t".join([row, labels[values.argmax()],
                            *(f"{value:.6f}" for value in values)]))
  return lines
