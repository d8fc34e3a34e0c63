"""Distances of methods to full fine-tuning, on each task and over tasks.

What is compared was chosen by `selection`; tables of it are made by
`method_tables`. Nothing here needs TensorFlow.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from tf_adapters.experiments.selection import Selected
from tf_adapters.modeling.tuning import Tuning


@dataclasses.dataclass(frozen=True)
class Distance:
  """A method's mean score less that of full fine-tuning.

  Attributes:
    mean: the difference; negative where full fine-tuning is ahead.
    sem: its standard error; None where one of the means is of one seed.
  """

  mean: float
  sem: float | None


def between(scores: Mapping[int, float],
               others: Mapping[int, float]) -> Distance:
  """Measures the mean of scores less that of others, and what seeds leave open.

  With n and m scores whose standard deviations are s and t, of which c have the
  same seeds and there the covariance k, the standard error is the root of

    s^2 / n + t^2 / m - 2 k c / (n m)

  A seed stands for the order of rows, and for the rows where a part is drawn,
  so scores of the same seed can depend on each other. Where all seeds are the
  same this is the standard error of paired differences; where none is, that of
  independent means.

  Args:
    scores: seed -> score.
    others: seed -> score.

  Example:
    >>> between({0: 2.0, 1: 4.0}, {0: 1.0, 1: 2.0})
    Distance(mean=1.5, sem=0.5)
  """
  mean = statistics.fmean(scores.values()) - statistics.fmean(others.values())
  n, m = len(scores), len(others)
  if n < 2 or m < 2:
    return Distance(mean, None)
  s, t = (statistics.stdev(values.values()) for values in (scores, others))
  common = sorted(scores.keys() & others.keys())
  k = 0.0
  if len(common) > 1:
    k = statistics.covariance([scores[seed] for seed in common],
                              [others[seed] for seed in common])
  variance = s**2 / n + t**2 / m - 2 * k * len(common) / (n * m)
  # Of a few common seeds k can come out larger than any covariance is.
  least = s / math.sqrt(n) - t / math.sqrt(m)
  return Distance(mean, math.sqrt(max(variance, least**2)))


def over_tasks(distances: Sequence[Distance]) -> Distance:
  """Averages distances on several tasks, which are independent.

  Its standard error is the root of the sum of their squared standard errors,
  divided by the number of tasks. The tasks themselves are no sample.
  """
  sems = [one.sem for one in distances if one.sem is not None]
  count = len(distances)
  return Distance(
      statistics.fmean(one.mean for one in distances),
      math.sqrt(sum(sem**2 for sem in sems)) / count
      if len(sems) == count else None)


def seeds_for(sem: float, variances: Mapping[str, float],
              costs: Mapping[str, float]) -> dict[str, float]:
  """Finds the cheapest numbers of seeds for a standard error of the distance.

  They are proportional to the root of variance over cost (Neyman's allocation).

  Args:
    sem: the standard error that is wanted.
    variances: task -> variance of a distance with one seed.
    costs: task -> cost of a seed.

  Returns:
    Task -> number of seeds, not rounded.
  """
  whole = sum(math.sqrt(variances[task] * costs[task]) for task in variances)
  return {task: math.sqrt(variances[task] / costs[task]) * whole
                / (len(variances) * sem) ** 2 for task in variances}


def full_fine_tuning(choices: Iterable[Selected]) -> dict[str, Selected]:
  """Returns {task: what was selected of full fine-tuning there}.

  Of several methods that are full fine-tuning the one with the best validation
  score.
  """
  found: dict[str, Selected] = {}
  for choice in choices:
    if is_full(choice) and (
        choice.task not in found
        or choice.validation.mean > found[choice.task].validation.mean):
      found[choice.task] = choice
  return found


def is_full(choice: Selected) -> bool:
  """Returns whether it is full fine-tuning, and complete."""
  return bool(choice.records) and Tuning.parse(
      choice.records[0].finished["tuning"]).method == "full"


def scores_by_seed(choice: Selected) -> dict[int, float]:
  """Returns {seed: score on the reported split}."""
  return {record.trial.seed: record.metrics[choice.reported][choice.metric]
          for record in choice.records}
