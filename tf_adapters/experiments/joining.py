"""Joins the trials of sweeps, and refuses scores that do not compare.

What is in a sweep's folder is read by `sweep_folder`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tf_adapters.errors import InputError
from tf_adapters.experiments.records import Record
from tf_adapters.experiments.sweep_folder import (
    PastTrial,
    Sweep,
    short_name,
)
from tf_adapters.training.run_folder import ACTIONS

# Flags that say what is learnt from, and what scores are of.
_DATA_FLAGS = {
    "task_name", "data_dir", "holdout", "max_train_examples", "text_column",
    "text_pair_column", "label_column", "label_separator", "problem_type",
    "encoding", "train_file", "predict_file", "version_2_with_negative", "data",
    "delimiter", "validation_fraction", "test_fraction", "split_seed"}


def join(sweeps: Iterable[Sweep]) -> list[Record]:
  """Joins the records of several sweeps, sorted; one for each trial.

  Of a trial that several sweeps have the first that is finished counts, for the
  methods of all.

  Raises:
    InputError: sweeps have run the same setting of a task with other flags, or
      a task was run on other data, so that scores do not belong together.
  """
  joined: dict[str, Record] = {}
  of_settings: dict[tuple[str, str], PastTrial] = {}
  of_tasks: dict[str, PastTrial] = {}
  for record in (record for sweep in sweeps for record in sweep.records):
    trial = record.trial
    if record.results is not None:
      other = of_settings.setdefault((trial.task, trial.setting), trial)
      _check_same_flags(
          other, trial, (other.flags.keys() | trial.flags.keys())
          - ACTIONS - {"seed"})
      other = of_tasks.setdefault(trial.task, trial)
      _check_same_flags(
          other, trial, _DATA_FLAGS
          - (other.settings.keys() | trial.settings.keys()))
    same = joined.get(trial.name)
    if same is not None:
      methods = tuple(dict.fromkeys([*same.trial.methods, *trial.methods]))
      if same.results is not None or record.results is None:
        record = same
      record = dataclasses.replace(record, trial=dataclasses.replace(
          record.trial, methods=methods,
          selects=trial.selects or same.trial.selects))
    joined[trial.name] = record
  _check_same_data(joined.values())
  _check_same_metrics(joined.values())
  return [joined[name] for name in sorted(joined)]


def by_encoder(records: Iterable[Record]) -> dict[str, list[Record]]:
  """Divides records by their encoder, as scores of several do not compare.

  Returns:
    The encoder's name, short where that is clear, -> its records.
  """
  sources: dict[str | None, str] = {}
  for record in records:
    flag = record.trial.flags.get("encoder")
    sources.setdefault(flag, flag or "default encoder")
    # What has an embedding in the place of BERT does not say which BERT it is.
    if (flag is None and record.results is not None
        and "text_embedding" not in record.trial.flags):
      sources[flag] = record.results["hyperparameters"]["encoder"]
  groups: dict[str, list[Record]] = {}
  for record in records:
    source = sources[record.trial.flags.get("encoder")]
    groups.setdefault(source, []).append(record)
  short = {source: short_name(source) for source in groups}
  clear = len(set(short.values())) == len(short)
  return {short[source] if clear else source: groups[source]
          for source in sorted(groups)}


def _check_same_flags(one: PastTrial, other: PastTrial,
                      names: Iterable[str]) -> None:
  """Refuses trials of two sweeps that differ in a flag.

  A sweep itself takes care that its own trials belong together.
  """
  for name in sorted(names) if one.sweep != other.sweep else ():
    values = [trial.flags.get(name, "its default") for trial in (one, other)]
    if values[0] != values[1]:
      what = one.task
      if one.setting == other.setting:
        what += f"/{one.setting}"
      raise InputError(
          f"{one.sweep} and {other.sweep}: {what} was run with "
          f"{name}={values[0]} and with {name}={values[1]}: report on them "
          "apart")


def _check_same_data(records: Iterable[Record]) -> None:
  """Refuses trials of a task that were not run on the same rows.

  By what they noted: the sha256 of the files of each split, and how many rows
  there were to choose by and to test.
  """
  others: dict[str, tuple[Record, Mapping[str, Any]]] = {}
  for record in records:
    rows = _rows(record)
    if rows is None:
      continue
    task = record.trial.task
    other, theirs = others.setdefault(task, (record, rows))
    # What one of them lacks is not reported.
    for split in sorted(rows.keys() & theirs.keys()):
      if rows[split] != theirs[split]:
        raise InputError(
            f"{_folder(other)} and {_folder(record)}: {task} was run on other "
            f"data, and the {split} split is not the same: report on them "
            "apart, or remove one's folder to run it anew")


def _rows(record: Record) -> dict[str, Any] | None:
  """Returns {split: digests of its files, number of rows}, where it is known.
  """
  data = (record.results or {}).get("data")
  files, sizes = (data.get(key) if isinstance(data, dict) else None
                  for key in ("files", "splits"))
  if not (isinstance(files, dict) and isinstance(sizes, dict)
          and all(isinstance(one, dict) for one in files.values())):
    return None
  # Of the training rows a setting may take a part.
  return {split: (sorted(map(str, one.values())),
                  None if split == "train" else sizes.get(split))
          for split, one in files.items() if split in sizes}


def _folder(record: Record) -> str:
  return f"{record.trial.sweep}/trials/{record.trial.name}"


def _check_same_metrics(records: Iterable[Record]) -> None:
  """Refuses trials of a task that different metrics decide over."""
  others: dict[tuple[str, str], Record] = {}
  for record in records:
    for split, scores in record.metrics.items():
      other = others.setdefault((record.trial.task, split), record)
      ours, theirs = next(iter(scores)), next(iter(other.metrics[split]))
      if ours != theirs:
        raise InputError(
            f"{_folder(record)}: its first metric on the {split} split is "
            f"{ours}, that of {_folder(other)} {theirs}")
