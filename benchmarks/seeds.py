"""Says how many seeds a sweep needs, to know distances to full fine-tuning.

For each method: the variance of its distance on each task with one seed, of the
seeds that there are, and the cheapest numbers of seeds with which the mean over
tasks has a standard error of --sem points. Seconds are those that the trials
took. Reads a sweep's folder, with three seeds at least. Prints JSON.

  python benchmarks/seeds.py --sweep_dir=sweeps/methods --sem=0.3
"""

import argparse
import json
import statistics

from tf_adapters.experiments import distance
from tf_adapters.experiments.selection import Selected, select
from tf_adapters.experiments.sweep_folder import read_sweep


def _seconds(choice: Selected) -> float:
  return statistics.fmean(record.finished["seconds"]["total"]
                          for record in choice.records)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--sweep_dir", required=True)
  parser.add_argument("--sem", type=float, default=0.3)
  args = parser.parse_args()
  choices = [choice for choice in select(read_sweep(args.sweep_dir).records)
             if choice.records]
  full = distance.full_fine_tuning(choices)
  found = {}
  for method in sorted({choice.method for choice in choices}):
    variances, costs, seeds = {}, {}, {}
    for choice in choices:
      if (choice.method != method or choice.task not in full
          or distance.is_full(choice)):
        continue
      scores, others = (distance.scores_by_seed(one)
                        for one in (choice, full[choice.task]))
      common = scores.keys() & others.keys()
      if len(common) > 2:
        sem = distance.between(*({seed: 100 * one[seed] for seed in common}
                                 for one in (scores, others))).sem or 0.0
        variances[choice.task] = sem**2 * len(common)
        costs[choice.task] = _seconds(choice) + _seconds(full[choice.task])
        seeds[choice.task] = len(common)
    if not variances:
      continue
    needed = distance.seeds_for(args.sem, variances, costs)
    found[method] = {
        "variances": variances, "seconds of a pair": costs, "seeds": seeds,
        "needed": needed, "core-hours in all": sum(
            needed[task] * costs[task] for task in needed) / 3600}
  print(json.dumps({"sem": args.sem, "methods": found}, indent=2))


if __name__ == "__main__":
  main()
