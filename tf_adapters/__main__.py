"""`tf-adapters TOOL --flags`: runs one of the tools."""

import importlib
import os
import pkgutil
import sys

from tf_adapters import tools

# TensorFlow's start-up notices would bury the one line that matters, and Keras
# 3, which it would import beside tf_keras, takes seconds and a hundred MB.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def main() -> None:
  """Picks the module of tools/ that the first argument names."""
  names = sorted(
      module.name for module in pkgutil.iter_modules(tools.__path__)
      if not module.name.startswith("_"))
  if len(sys.argv) < 2 or sys.argv[1] not in names:
    lines = ["usage: tf-adapters TOOL [--flags]; tf-adapters TOOL --help", ""]
    for name in names:
      module = importlib.import_module(f"tf_adapters.tools.{name}")
      lines.append(f"  {name:10}{module.__doc__.splitlines()[0]}")
    asked = len(sys.argv) > 1 and sys.argv[1] in ("--help", "-h", "help")
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else 2)
  # absl shows the first argument as the name of the program.
  tool = sys.argv.pop(1)
  sys.argv[0] = f"tf-adapters {tool}"
  try:
    module = importlib.import_module(f"tf_adapters.tools.{tool}")
  except KeyboardInterrupt:  # imports take seconds
    print("interrupted", file=sys.stderr)
    sys.exit(130)
  module.main()


if __name__ == "__main__":
  main()
