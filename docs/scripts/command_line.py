"""Writes the pages on the command line: docs/reference/flags.md and tools.md.

They are made of the flags and docstrings of the tools. After a change of these
run it again, in the root of the repository:

    python docs/scripts/command_line.py

With --check it only says whether the pages are as they should be.
"""

import importlib
import pathlib
import re
import sys
import types

from absl import flags

from tf_adapters import __main__ as command_line
from tf_adapters.tools import _help
from tf_adapters.training.run_config import flag_text

REFERENCE = pathlib.Path(__file__).parents[1] / "reference"
_MADE = ("<!-- Made by docs/scripts/command_line.py of the tools' own texts: "
         "change these. -->\n")
_TOOLS = """# Tools

`tf-adapters TOOL --flags` runs a tool. `tf-adapters TOOL --help` describes its
flags, those that one needs first on top. `tf-adapters --version` names the
versions.

Flags, files and columns are checked before TensorFlow is imported. A flag that
has no effect beside the others is refused. Only a flag file may have flags of a
method that is not trained. What other programs call a flag, such as `--epochs`,
is answered with its name here. [Flags](flags.md)
describes all of them, [Errors](errors.md) the exit statuses.
"""
_FLAGS = """# Flags

Every flag of the [tools](tools.md), in the groups of `tf-adapters TOOL --help`.
Where tools have different defaults of a flag, `--help` says which.
"""
# Of a docstring: "Examples:", and the commands below.
_EXAMPLES = re.compile(r"^Examples?:\n", re.M)
_COMMANDS = re.compile(r"(?:^ {2,}\S.*\n)+", re.M)


def tools() -> dict[str, types.ModuleType]:
  """The tools by name, in the order in which they are needed."""
  return {name: importlib.import_module(f"tf_adapters.tools.{name}")
          for name in command_line.tool_names()}


def flags_of(tool: types.ModuleType) -> list[str]:
  """Names of a tool's flags."""
  return [flag.name
          for flag in flags.FLAGS.get_key_flags_for_module(tool)]


def tools_page() -> str:
  """Returns the page with the text and the flags of each tool."""
  lines = [_TOOLS, _MADE]
  for name, tool in tools().items():
    lines += [f"## tf-adapters {name}\n", _as_markdown(tool.__doc__ or "")]
    lines += ["| group | flags |\n|---|---|"]
    groups = _help.groups(flags_of(tool))
    # Those of all methods are in one line.
    methods = [title for title in groups if title.startswith("--")]
    lines += [
        f"| {_link(title)} | {', '.join(f'`--{flag}`' for flag in members)} |"
        for title, members in groups.items() if title not in methods]
    if methods:
      lines.append(f"| Methods | all of {', '.join(map(_link, methods))} |")
    lines.append("")
  return "\n".join(lines)


def flags_page() -> str:
  """Returns the page with the meaning of each flag."""
  names = dict.fromkeys(
      flag for tool in tools().values() for flag in flags_of(tool))
  lines = [_FLAGS, _MADE]
  for title, members in _help.groups(list(names)).items():
    lines += [f"## {_heading(title)}\n", "| flag | default | meaning |",
              "|---|---|---|"]
    lines += [_row(flags.FLAGS[name]) for name in members]
    lines.append("")
  return "\n".join(lines)


def _row(flag: flags.Flag) -> str:
  default = "" if flag.default is None else f"`{flag_text(flag.default)}`"
  text = flag.help
  choices = getattr(flag.parser, "enum_values", ())
  # absl puts them before the help, too.
  text = text.removeprefix(f"<{'|'.join(choices)}>: ")
  if choices:
    text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
  elif flag.parser.syntactic_help and not flag.boolean and (
      flag.parser.syntactic_help not in text):
    text += f" ({flag.parser.syntactic_help})"
  # Where several tools have a flag, its help is that of all of them.
  text = " ".join(dict.fromkeys(
      re.split(r"(?<=\.) ", " ".join(text.split()))))
  text = re.sub(r"(?<![`\w])(--[a-z_]+(=[\w:]+)?)", r"`\1`", text)
  text = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
  return f"| `--{flag.name}` | {'' if default == '``' else default} | {text} |"


def _heading(title: str) -> str:
  return title.removeprefix("--method=") if title.startswith("--") else title


def _link(title: str) -> str:
  anchor = re.sub(r"[^\w\- ]", "", _heading(title)).lower().replace(" ", "-")
  return f"[{_heading(title)}](flags.md#{anchor})"


def _as_markdown(docstring: str) -> str:
  text = _EXAMPLES.sub("", docstring.strip() + "\n")
  return _COMMANDS.sub(
      lambda block: "```bash\n" + "".join(
          f"{line[2:]}\n" for line in block[0].splitlines()) + "```\n", text)


def pages() -> dict[str, str]:
  """The pages by file name."""
  return {"flags.md": flags_page(), "tools.md": tools_page()}


if __name__ == "__main__":
  for name, text in pages().items():
    page = REFERENCE / name
    if "--check" not in sys.argv:
      page.write_text(text)
    elif page.read_text() != text:
      sys.exit(f"{page.name} is of other flags: run python "
               "docs/scripts/command_line.py")
