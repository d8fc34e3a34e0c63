"""Measures what the adapters of each layer contribute, without training.

Houlsby et al., section 3.6: the adapters of a stretch of layers are taken out
of a trained model, for every stretch, and the task's metric is measured: that
is in `ablation_scores`. Which adapters can be left out is in `pruning`.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tf_adapters.adapter_files.info import AdapterInfo, library_versions
from tf_adapters.data.dataset import Dataset
from tf_adapters.errors import InputError, say
from tf_adapters.experiments import heat_map, pruning
from tf_adapters.experiments.ablation_scores import AblationScores
from tf_adapters.experiments.analysis_checks import PRUNINGS, check_analysis
from tf_adapters.experiments.pictures import metric_label, pdf, png
from tf_adapters.experiments.records import write_csv
from tf_adapters.files.writing import output_dir_of, write_file, writing
from tf_adapters.modeling.ablation import LayerSet, count_layer_passes
from tf_adapters.modeling.task_model import TaskModel
from tf_adapters.training.run_config import RunConfig
from tf_adapters.training.run_loading import load_trained

SPLIT = "validation"  # by which layers are judged
FORMAT_VERSION = 1

_NONE: LayerSet = frozenset()


@dataclasses.dataclass(frozen=True)
class Pruned:
  """A model without the adapters of some layers.

  Attributes:
    layers: these.
    metrics: split -> metric -> value, for every split with labels.
    loss: how much less the first metric is on the validation split than with
      all adapters, in its own unit.
    adapter_parameters: how many the adapters of the other layers have.
    shared_layers: how many of the lowest layers are the encoder's alone.
  """

  layers: tuple[int, ...]
  metrics: Mapping[str, Mapping[str, float]]
  loss: float
  adapter_parameters: int
  shared_layers: int

  def saved_passes(self, num_layers: int, num_tasks: int) -> float:
    """Returns the share of the layer passes that tasks with such adapters save.

    Of the passes for one text by a number of tasks, where what the shared
    layers say of it is computed once for all.
    """
    return (1 - 1 / num_tasks) * self.shared_layers / num_layers


@dataclasses.dataclass(frozen=True)
class Analysis:
  """The findings on an adapter file.

  Attributes:
    adapter: the adapter file.
    task: name of the task.
    metric: the task's first one.
    num_layers: of the encoder.
    layers: those that have adapters.
    spans: (first, last) of `layers` -> metrics on the validation split without
      the adapters from one to the other.
    max_loss: that the prunings may have.
    prunings: the whole model as "none", and each of `PRUNINGS`.
    layer_passes: for each batch, of all spans and the whole model: as they were
      run, and as they would be one by one.
    seconds: what "spans" and "prunings" took.
  """

  adapter: str
  task: str
  metric: str
  num_layers: int
  layers: tuple[int, ...]
  spans: Mapping[tuple[int, int], Mapping[str, float]]
  max_loss: float
  prunings: Mapping[str, Pruned]
  layer_passes: tuple[int, int]
  seconds: Mapping[str, float]

  @property
  def score(self) -> float:
    """The first metric with all adapters."""
    return self.prunings["none"].metrics[SPLIT][self.metric]

  def change(self, span: tuple[int, int]) -> float:
    """Returns the first metric without a span's adapters, relative to `score`.
    """
    return self.spans[span][self.metric] / self.score - 1

  def to_dict(self) -> dict[str, Any]:
    """As ablation.json has it."""
    run, naive = self.layer_passes
    return {
        "format_version": FORMAT_VERSION,
        "adapter": self.adapter,
        "task": self.task,
        "split": SPLIT,
        "metric": self.metric,
        "num_layers": self.num_layers,
        "layers": list(self.layers),
        "spans": [{"first": first, "last": last, "metrics": metrics,
                   "relative_change": self.change((first, last))}
                  for (first, last), metrics in self.spans.items()],
        "max_loss": self.max_loss,
        "prunings": {
            name: {**dataclasses.asdict(pruned), "layers": list(pruned.layers)}
            for name, pruned in self.prunings.items()},
        "layer_passes_per_batch": {"run": run, "one_by_one": naive},
        "seconds": dict(self.seconds),
        "versions": library_versions(),
    }

  def to_csv(self) -> str:
    """Writes a line for each span."""
    return write_csv(
        ["first", "last", "metric", "value", "relative_change"],
        [{"first": first, "last": last, "metric": self.metric,
          "value": metrics[self.metric],
          "relative_change": self.change((first, last))}
         for (first, last), metrics in self.spans.items()])

  def table(self) -> list[tuple[str, ...]]:
    """Makes rows of cells for the eye of the prunings, the header first."""
    splits = list(self.prunings["none"].metrics)
    rows = [("pruning", "layers without adapters",
             *(f"{split} {self.metric}" for split in splits), "loss",
             "adapter parameters")]
    for name, pruned in self.prunings.items():
      rows.append((
          name, layers_text(pruned.layers),
          *(f"{pruned.metrics[split][self.metric]:.4f}" for split in splits),
          f"{pruned.loss:.4f}", f"{pruned.adapter_parameters:,}"))
    return rows

  def remarks(self) -> list[str]:
    """Returns the remarks beside the table, a line each."""
    single = {layer: self.change((layer, layer)) for layer in self.layers}
    worst = min(single, key=single.__getitem__)
    span = (self.layers[0], self.layers[-1])
    lines = [
        f"without the adapters of one layer {self.metric} changes by "
        f"{_percent(single[worst])} at worst (layer {worst}), without any by "
        f"{_percent(self.change(span))}"]
    lowest = self.prunings["lowest"]
    if lowest.shared_layers:
      saved = ", ".join(
          f"{count} tasks {lowest.saved_passes(self.num_layers, count):.0%}"
          for count in (2, 4, 8))
      lines.append(
          f"lowest: layers {layers_text(range(lowest.shared_layers))} are the "
          f"encoder's alone, and can be computed once for all tasks on a text: "
          f"of the layer passes {saved} are saved")
    elif lowest.layers:
      lines.append(
          "lowest: no layer can be computed once for all tasks on a text, as "
          "the layer norms are the task's own (train with "
          "--notune_layer_norms)")
    return lines


def layers_text(layers: Iterable[int]) -> str:
  """Writes layer numbers as --adapter_layers takes them; "none" without any.

  Example:
    >>> layers_text([0, 1, 2, 5])
    '0-2,5'
  """
  parts = []
  # What is in a row has the same distance from its place.
  for _, row in itertools.groupby(
      enumerate(sorted(layers)), lambda pair: pair[1] - pair[0]):
    first, *others = [layer for _, layer in row]
    parts.append(f"{first}-{others[-1]}" if others else str(first))
  return ",".join(parts) or "none"


def analyse(config: RunConfig, max_loss: float = 0.01,
            save_pruned: str | os.PathLike[str] | None = None,
            pruned_by: str = "greedy") -> Analysis:
  """Analyses an adapter file, and writes what is found to an output_dir.

  Args:
    config: what `run` would evaluate: `load_adapter`, the task, the encoder,
      the size of batches, output_dir.
    max_loss: how much less the task's first metric may be on the validation
      split for adapters to be left out, in its own unit: 0.01 of an accuracy
      is one per cent of the rows.
    save_pruned: an adapter file to write, without these.
    pruned_by: which of `PRUNINGS` it is of.

  Returns:
    What was found; output_dir has it as ablation.json, ablation.csv,
    ablation.png and ablation.pdf.

  Raises:
    InputError: the adapter file cannot be read, or something else than
      adapters was tuned in it; it does not fit the task or the encoder; there
      is no labelled validation split; with all adapters the metric is not
      positive, so that nothing is relative to it; nothing can be left out that
      is to be saved; or something cannot be written.
  """
  info = check_analysis(config, save_pruned, pruned_by)
  output_dir = pathlib.Path(config.output_dir)
  task = config.load_task(info.labels or None)
  if task.split(SPLIT).labels is None:
    raise InputError(f"task {task.name}: the {SPLIT} split in {task.origin} "
                     "has no labels")
  adapter = str(config.load_adapter)
  model = load_trained(config, task, adapter, info)
  text = model.encoder.text_processor(
      info.max_length or config.default_max_seq_length)
  for split in task.splits.values():
    split.check(text)
  with writing(f"output_dir {output_dir}"):
    output_dir.mkdir(parents=True, exist_ok=True)
  with output_dir_of("analysis", output_dir):
    for note in task.notes:
      say(f"data: {note}")
    scores = AblationScores(model, task, text, config.eval_batch_size)
    analysis = _analyse(adapter, model, info, task, scores, max_loss)
    _write(analysis, output_dir)
  if save_pruned is not None:
    pruned = analysis.prunings[pruned_by]
    if not pruned.layers:
      raise InputError(
          f"save_pruned: no adapters can be left out ({pruned_by}) without a "
          f"loss of {analysis.metric} above max_loss={max_loss}; see "
          f"{output_dir}")
    pruning.save_pruned(
        model, info, frozenset(pruned.layers), save_pruned, pruned.metrics)
  return analysis


def _analyse(adapter: str, model: TaskModel, info: AdapterInfo, task: Dataset,
             scores: AblationScores, max_loss: float) -> Analysis:
  metric = task.metrics[0]
  num_layers = model.encoder.config.num_hidden_layers
  assert info.method is not None  # checked before
  layers = info.method.entered_layers(num_layers)
  started = time.perf_counter()
  spans = {
      (layers[first], layers[last]): frozenset(layers[first:last + 1])
      for first in range(len(layers)) for last in range(first, len(layers))}
  sets = [_NONE, *spans.values()]
  of_spans = scores(SPLIT, sets)
  seconds = {"spans": time.perf_counter() - started}
  full = of_spans[_NONE][metric]
  if not full > 0:
    raise InputError(
        f"{adapter}: {metric} is {full:.4f} on the {SPLIT} split with all "
        "adapters: nothing can be told relative to it")

  def score(removed: Iterable[LayerSet]) -> dict[LayerSet, float]:
    return {one: metrics[metric]
            for one, metrics in scores(SPLIT, removed).items()}

  chosen = {"none": _NONE, **{
      name: pruning.prune(name, layers, max_loss, score)
      for name in PRUNINGS}}
  # Nothing but the validation split has a say in what is chosen.
  splits = [name for name, split in task.splits.items()
            if name != "train" and split.labels is not None and len(split)]
  of_splits = {name: scores(name, chosen.values()) for name in splits}
  seconds["prunings"] = time.perf_counter() - started - seconds["spans"]
  return Analysis(
      adapter=str(adapter), task=task.name, metric=metric,
      num_layers=num_layers, layers=layers,
      spans={span: of_spans[removed] for span, removed in spans.items()},
      max_loss=max_loss,
      prunings={name: Pruned(
          tuple(sorted(removed)),
          {split: of_splits[split][removed] for split in splits},
          full - of_splits[SPLIT][removed][metric],
          pruning.adapter_parameters(model, removed),
          pruning.shared_layers(model, removed))
          for name, removed in chosen.items()},
      layer_passes=(count_layer_passes(num_layers, sets),
                    num_layers * len(sets)),
      seconds=seconds)


def _write(analysis: Analysis, output_dir: pathlib.Path) -> None:
  figure = heat_map.draw_heat_map(
      analysis.layers,
      {span: 100 * analysis.change(span) for span in analysis.spans},
      f"{analysis.task}, all adapters: {metric_label(analysis.metric)} "
      f"{analysis.score:.3f}")
  for name, content in (
      ("ablation.csv", analysis.to_csv()),
      ("ablation.json", json.dumps(
          analysis.to_dict(), indent=2, allow_nan=False) + "\n"),
      ("ablation.png", png(figure)),
      ("ablation.pdf", pdf(figure))):
    with writing(output_dir / name):
      write_file(output_dir / name, content)


def _percent(change: float) -> str:
  return f"{100 * change:+.1f} %"
