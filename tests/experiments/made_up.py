"""Folders of sweeps with made-up results, of which nothing was trained."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence

BASE = 1000  # parameters of the encoder


@dataclasses.dataclass(frozen=True)
class MadeUp:
  """A trial and its results.

  Attributes:
    task, method, seed: of the sweep.
    settings: flag -> text.
    metrics: split -> name -> value; None for a trial that has not finished.
    trained: parameters.
    flags: what the run has beside its settings.
    error: why it failed.
    kind: the task that it is, if it is not called so.
    more: what else results.json has.
  """

  task: str
  method: str
  seed: int
  settings: Mapping[str, str]
  metrics: Mapping[str, Mapping[str, float]] | None
  trained: int = 100
  flags: Mapping[str, str] = dataclasses.field(default_factory=dict)
  error: str | None = None
  kind: str | None = None
  more: Mapping[str, object] = dataclasses.field(default_factory=dict)

  @property
  def folder(self) -> str:
    setting = "-".join(f"{name}={self.settings[name]}"
                       for name in sorted(self.settings)) or "default"
    return f"trials/{self.task}/{setting}/seed={self.seed}"

  def write(self, sweep: pathlib.Path, flags: Mapping[str, str]) -> None:
    """Writes what the run leaves."""
    folder = sweep / self.folder
    folder.mkdir(parents=True)
    flags = {"tuning": "adapters", "learning_rate": "0.001", **flags,
             **self.settings, **self.flags, "seed": str(self.seed),
             "output_dir": str(folder), "task_name": self.kind or self.task}
    (folder / "flags.flags").write_text("".join(
        f"--{name}={text}\n" for name, text in flags.items()))
    adapter = None
    if flags["tuning"].startswith("adapters"):
      adapter = {"size": int(flags.get("adapter_size", "64")),
                 "init_scale": float(flags.get("adapter_init_scale", "1e-3"))}
    (folder / "results.json").write_text(json.dumps({
        "task": self.kind or self.task, "tuning": flags["tuning"],
        "metrics": self.metrics, "steps": 10, "evaluated": True,
        "best_epoch": 1, "seconds": {"total": 90.0},
        "parameters": {
            "trained": self.trained, "base": BASE,
            "total": BASE + self.trained if adapter else max(
                BASE, self.trained)},
        "hyperparameters": {
            "encoder": flags.get("text_embedding") or flags.get(
                "encoder", "bert_base_uncased"),
            "adapter": adapter,
            "learning_rate": float(flags["learning_rate"])},
        **self.more}))


def write_sweep(folder: pathlib.Path, trials: Iterable[MadeUp],
                flags: Mapping[str, str] | None = None,
                tool: str = "glue",
                selection_seeds: Sequence[int] | None = None) -> str:
  """Writes a sweep's folder, and returns its name."""
  trials, flags = list(trials), dict(flags or {})
  folder.mkdir(parents=True, exist_ok=True)
  for trial in trials:
    if trial.metrics is not None:
      trial.write(folder, flags)
  tasks = {trial.task: {"task_name": trial.kind} if trial.kind else {}
           for trial in trials}
  seeds = sorted({trial.seed for trial in trials})
  (folder / "sweep.json").write_text(json.dumps({
      "format_version": 1,
      "spec": {
          "source": "made_up.yaml", "tool": tool, "flags": flags,
          "tasks": tasks, "seeds": seeds,
          "selection_seeds": selection_seeds or seeds,
          "methods": {trial.method: {} for trial in trials}},
      "trials": [{
          "task": trial.task, "methods": [trial.method],
          "settings": dict(trial.settings), "seed": trial.seed,
          "folder": trial.folder,
          "status": ("finished" if trial.metrics is not None
                     else "failed" if trial.error else "unfinished"),
          "error": trial.error} for trial in trials]}))
  return str(folder)
