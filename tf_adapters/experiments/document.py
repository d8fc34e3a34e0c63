"""A report as Markdown and as one HTML file.

What stands in it is `report`'s business.
"""

import base64
import dataclasses
import functools
import html
import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from tf_adapters.experiments import pictures
from tf_adapters.experiments.table_parts import Table


@dataclasses.dataclass(frozen=True)
class Picture:
  """A figure with its numbers.

  Attributes:
    name: of its files.
    title: what it is.
    caption: what has to be known to read it.
    figure: what is drawn.
    csv: the numbers of it.
  """

  name: str
  title: str
  caption: str
  figure: Figure
  csv: str

  @functools.cached_property
  def png(self) -> bytes:
    return pictures.png(self.figure)

  @functools.cached_property
  def pdf(self) -> bytes:
    return pictures.pdf(self.figure)


@dataclasses.dataclass(frozen=True)
class Heading:
  """A heading of the second level."""

  text: str


# Strings are paragraphs; lists of them are lists.
Block = Heading | Table | Picture | str | Sequence[str]


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
  """Writes the document as Markdown, its pictures in figures/."""
  parts = [f"# {_escaped(title)}"]
  for block in blocks:
    match block:
      case Heading():
        parts.append(f"## {_escaped(block.text)}")
      case Table():
        parts.append(f"### {_escaped(block.title)}")
        parts.append(table_markdown(block).rstrip("\n"))
      case Picture():
        parts.append(f"### {_escaped(block.title)}")
        parts.append(f"![{_escaped(block.title)}](figures/{block.name}.png)")
        parts.append(
            f"{_escaped(block.caption)} [PDF](figures/{block.name}.pdf), "
            f"[numbers](figures/{block.name}.csv)")
      case str():
        parts.append(_escaped(block))
      case _:
        parts.append("\n".join(f"- {_escaped(line)}" for line in block))
  return "\n\n".join(parts) + "\n"


def table_markdown(table: Table) -> str:
  """Writes a table with its notes, without a heading."""
  rows = [table.header, ["---"] * len(table.header), *table.rows]
  parts = ["\n".join(
      f"| {' | '.join(map(_escaped, row))} |" for row in rows)]
  parts += [_escaped(" ".join(table.notes))] if table.notes else []
  return "\n\n".join(parts) + "\n"


# Light and dark as the reader has it; tables scroll where a screen is narrow.
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
h3 { font-size: 1.05rem; margin-top: 2rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid #8884; }
th { border-bottom: 2px solid #888a; }
td { white-space: nowrap; } td.text { white-space: normal; min-width: 9rem; }
tr.paper { font-style: italic; background: #8881; }
tr.paper:not(tr.paper + tr.paper) td { border-top: 2px solid #888a; }
p.note, figcaption { font-size: 0.85rem; opacity: 0.85; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: white; }
"""
_LONG = 24  # characters: such cells are broken into lines


def to_html(title: str, blocks: Sequence[Block]) -> str:
  """Writes the document as one HTML file, with its pictures inside."""
  parts = [f"<h1>{html.escape(title)}</h1>"]
  for block in blocks:
    match block:
      case Heading():
        parts.append(f"<h2>{html.escape(block.text)}</h2>")
      case Table():
        parts += _html_table(block)
      case Picture():
        png = base64.b64encode(block.png).decode()
        parts += [
            f"<h3>{html.escape(block.title)}</h3>", "<figure>",
            f'<img alt="{html.escape(block.title)}" '
            f'src="data:image/png;base64,{png}">',
            f"<figcaption>{html.escape(block.caption)}</figcaption>",
            "</figure>"]
      case str():
        parts.append(f"<p>{html.escape(block)}</p>")
      case _:
        parts += ["<ul>", *(f"<li>{html.escape(line)}</li>" for line in block),
                  "</ul>"]
  return "\n".join([
      "<!DOCTYPE html>", '<html lang="en">', "<head>",
      '<meta charset="utf-8">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      f"<title>{html.escape(title)}</title>", f"<style>{_STYLE}</style>",
      "</head>", "<body>", *parts, "</body>", "</html>", ""])


def _html_table(table: Table) -> list[str]:
  parts = [f"<h3>{html.escape(table.title)}</h3>", '<div class="table">',
           "<table>", "<thead><tr>"]
  parts += [f"<th>{html.escape(cell)}</th>" for cell in table.header]
  parts += ["</tr></thead>", "<tbody>"]
  for number, row in enumerate(table.rows):
    paper = number >= len(table.rows) - table.papers
    parts.append('<tr class="paper">' if paper else "<tr>")
    for cell in row:
      start = '<td class="text">' if len(cell) > _LONG else "<td>"
      parts.append(f"{start}{html.escape(cell)}</td>")
    parts.append("</tr>")
  parts += ["</tbody>", "</table>", "</div>"]
  if table.notes:
    parts.append(f'<p class="note">{html.escape(" ".join(table.notes))}</p>')
  return parts


def _escaped(text: str) -> str:
  """Changes text so that Markdown leaves it as it is.

  Example:
    >>> _escaped("adapters_8|64")
    'adapters\\\\_8\\\\|64'
  """
  return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", text).replace("\n", " ")
