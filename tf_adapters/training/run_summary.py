"""The summary that a run prints at its end."""

import pathlib
from collections.abc import Mapping
from typing import Any

from tf_adapters.errors import say
from tf_adapters.training.run_folder import RESULTS_NAME

_DEFAULT_METHOD = "bottleneck"


def say_finished(results: Mapping[str, Any], output_dir: pathlib.Path) -> None:
  """Says that nothing is left to do of a run, and what came of it."""
  say("This run is finished; nothing is left to do. (--overwrite begins anew)")
  say(summary_of(results, output_dir))


def summary_of(results: Mapping[str, Any], output_dir: pathlib.Path) -> str:
  """Makes the summary of a run, for the eye."""
  settings = results["hyperparameters"]
  method = (settings.get("adapter") or {}).get("method", _DEFAULT_METHOD)
  tuning = results["tuning"]
  if method != _DEFAULT_METHOD:  # which "adapters" does not say
    tuning = tuning.replace("adapters", method, 1)
  rows = [("task", f"{results['task']}, {tuning} on {settings['encoder']}")]
  rows += [(split, ", ".join(f"{name} {value:.4f}"
                             for name, value in values.items()))
           for split, values in results["metrics"].items()]
  parameters = results["parameters"]
  rows.append(("trained", f"{parameters['trained']:,} of "
               f"{parameters['total']:,} parameters "
               f"({parameters['percent']:.2f} %)"))
  if results.get("devices"):
    rows.append(("devices", ", ".join(results["devices"])))
  rows.append(("seconds", ", ".join(
      f"{name} {value:.1f}" for name, value in results["seconds"].items())))
  for label, name in (("adapter", "adapter"), ("results", RESULTS_NAME),
                      ("predictions", "predictions")):
    if (output_dir / name).exists():
      rows.append((label, str(output_dir / name)))
  rows += [("warning", text) for text in results.get("warnings", ())]
  width = max(len(label) for label, _ in rows)
  return "\n" + "\n".join(f"{label:{width}}  {text}" for label, text in rows)
