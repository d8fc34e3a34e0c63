"""Begins and ends runs for the tools that train, without TensorFlow."""

import pathlib
import shlex

from tf_adapters.errors import say
from tf_adapters.tools import _command
from tf_adapters.training.own_run_config import OwnRunConfig
from tf_adapters.training.run_checks import check_start
from tf_adapters.training.run_config import RunConfig
from tf_adapters.training.run_folder import CHECKPOINTS_NAME
from tf_adapters.training.run_summary import say_finished
from tf_adapters.training.unread_flags import check_methods_read

_SEVERAL = "multi_worker_mirrored"


def is_finished(config: RunConfig) -> bool:
  """Checks a run; says so where nothing is left to do of it.

  Of several workers each finds that out behind the import, with the others.

  Raises:
    InputError: it cannot be done, as far as it is known by now; or a flag of
      a method has no effect.
  """
  if config.do_train:  # else they are compared with the adapter file's
    check_methods_read(config, _command.typed())
  plan = check_start(config)
  folder = pathlib.Path(config.output_dir)
  to_remove = (not config.keep_checkpoints
               and (folder / CHECKPOINTS_NAME).exists())
  if plan.todo or to_remove or config.distribution_strategy == _SEVERAL:
    return False
  say_finished(plan.results, folder)
  return True


def say_next(config: OwnRunConfig) -> None:
  """Says which commands come after a training, as they are to be typed."""
  if not (config.do_train and config.save_adapter) or config.text_network:
    return
  adapter = shlex.quote(str(pathlib.Path(config.output_dir, "adapter")))
  columns = [
      f" --{name}={shlex.quote(value)}"
      for name in ("text_column", "text_pair_column")
      if (value := getattr(config, name)) != getattr(OwnRunConfig, name)]
  say(f"evaluate     tf-adapters evaluate --adapter={adapter}\n"
      f"predict      tf-adapters predict --adapter={adapter} --input=new.csv"
      f"{''.join(columns)} --output=predicted.csv")
