"""`tf-adapters TOOL --flags`: runs one of the tools."""

import ast
import errno
import gc
import importlib
import os
import pkgutil
import signal
import sys

# Keras 3, which TensorFlow would import beside tf_keras, takes seconds and a
# hundred MB.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# What is asked for as a tool and is none -> what to say.
_OTHER_TOOLS = {
    **dict.fromkeys(
        ("finetune", "fit", "learn", "classify", "tsv"),
        "train learns from data of your own, glue from the paper's tasks, "
        "squad to answer questions"),
    **dict.fromkeys(
        ("eval", "test", "score", "metrics"),
        "evaluate says how good an adapter is"),
    **dict.fromkeys(
        ("infer", "inference", "classify_file"), "predict reads a file of "
        "texts"),
    **dict.fromkeys(
        ("server", "start", "deploy"),
        "serve answers texts of many tasks over HTTP"),
    **dict.fromkeys(
        ("info", "show", "describe"), "inspect says what an encoder or an "
        "adapter file holds"),
    **dict.fromkeys(
        ("upload", "publish", "share"),
        "push publishes an adapter file on the Hugging Face Hub"),
    **dict.fromkeys(
        ("download", "fetch"),
        "pull takes an adapter file from the Hugging Face Hub"),
    "save": "export writes a SavedModel that takes strings",
    "prune": "analyse says which adapters can be left out",
    "tune": "sweep runs many trials, train and glue a single one",
}
# In the order in which they are needed; others come behind them.
_ORDER = ("train", "evaluate", "predict", "serve", "export", "inspect", "glue",
          "squad", "sweep", "report", "analyse", "plan", "convert", "push",
          "pull")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
  """Runs the tool that the first argument names.

  Ctrl-C ends with status 130. Where nobody reads standard output any more, the
  process ends without a word, as programs in a pipe do; where there is no room
  for it, with an error.
  """
  # What TensorFlow's import makes stays: to look for garbage among it as often
  # as Python does takes a second of each start.
  gc.set_threshold(100_000, 20, 50)
  _take_standard_streams()
  try:
    try:
      tool = _tool(sys.argv[1:])
      # absl shows the first argument as the name of the program.
      sys.argv[:2] = [f"tf-adapters {tool}"]
      from tf_adapters.tools import _notices
      _notices.hide_notices()
      importlib.import_module(f"tf_adapters.tools.{tool}").main()
    finally:
      sys.stdout.flush()  # at the exit it could not be caught
  except KeyboardInterrupt:  # while things are imported
    print("interrupted", file=sys.stderr)
    sys.exit(130)
  except BrokenPipeError:
    _drop_output()
    sys.exit(128 + signal.SIGPIPE)
  except OSError as error:
    if error.errno not in _NO_ROOM or error.filename is not None:
      raise
    _drop_output()
    print(f"error: standard output: cannot be written: {error.strerror}",
          file=sys.stderr)
    sys.exit(1)


def _take_standard_streams() -> None:
  """Opens something in the place of standard streams that are closed.

  The next file that is opened would have the number of one, and what is written
  to standard output would go there.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      # The lowest number that is free; who writes to it gets an error.
      os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
  for name in ("stdout", "stderr"):
    if getattr(sys, name) is None:
      nothing = os.open(os.devnull, os.O_WRONLY)
      setattr(sys, name, os.fdopen(nothing, "w"))


def _drop_output() -> None:
  """Drops the rest of the output, which is not tried again at the exit."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tool_names() -> list[str]:
  """Lists the tools, in the order in which they are needed."""
  from tf_adapters import tools
  return sorted((
      module.name for module in pkgutil.iter_modules(tools.__path__)
      if not module.name.startswith("_")), key=[*_ORDER, ""].index)


def _tool(arguments: list[str]) -> str:
  """Finds the tool that is asked for; ends the process where there is none."""
  names = tool_names()
  asked = arguments[0] if arguments else None
  if asked in names:
    return asked
  if asked == "--version":
    from tf_adapters.adapter_files.info import library_versions
    print(", ".join(f"{name} {version}"
                    for name, version in library_versions().items()))
    sys.exit(0)
  if asked in (None, "--help", "-h", "help"):
    print(_usage(names), file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else 2)
  from tf_adapters.errors import printable, similar
  if asked.startswith("-"):
    hint = f"it comes behind a tool's name, as in tf-adapters train {asked}"
    if asked.startswith("--task_name"):
      hint = hint.replace("train", "glue")
  elif asked.lower() in _OTHER_TOOLS:
    hint = _OTHER_TOOLS[asked.lower()]
  else:
    near = similar(asked, [*names, *_OTHER_TOOLS])
    hint = (f"tools are {', '.join(names)}" if near is None
            else _OTHER_TOOLS.get(near, f"did you mean {near}?"))
  print(f"error: no tool {printable(asked)!r}: {hint} (tf-adapters --help says "
        "what each does)", file=sys.stderr)
  sys.exit(2)


def _usage(names: list[str]) -> str:
  lines = ["usage: tf-adapters TOOL [--flags]; tf-adapters TOOL --help; "
           "tf-adapters --version", ""]
  for name in names:
    # Not imported: all tools together take half a second.
    source = pkgutil.get_data("tf_adapters.tools", f"{name}.py") or b""
    summary, *_ = (ast.get_docstring(ast.parse(source)) or "").split("\n")
    lines.append(f"  {name:10}{summary}")
  return "\n".join(lines)


if __name__ == "__main__":
  main()
