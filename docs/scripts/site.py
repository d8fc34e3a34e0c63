"""Hooks of mkdocs: pages that lie elsewhere in the repository, and links.

README.md is the site's first page; CONTRIBUTING.md and others are pages of it,
too. Links between documents are written for the repository, where they lead
from file to file. On the site a link to a file that is no page, such as a test,
becomes plain text.
"""

import os
import pathlib
import re

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
# File in the repository -> page of the site.
PAGES = {
    "README.md": "index.md", "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md", "benchmarks/README.md": "benchmarks.md"}
_FILES = {page: file for file, page in PAGES.items()}
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+?src=["']?(https?:[^"'> ]+)"""
    r"""|<link[^>]+?rel="(?:stylesheet|icon|preconnect|preload)"[^>]+?"""
    r"""href="(https?:[^"]+)""")
_LINK = re.compile(
    r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files, config):
  """Adds the pages that do not lie in docs/."""
  for file, page in PAGES.items():
    files.append(File.generated(
        config, page, content=(ROOT / file).read_text()))
  return files


def on_page_markdown(markdown, page, **_):
  """Makes a document's links those of the site."""
  if page.file.src_uri == "index.md":
    page.meta["hide"] = ["navigation"]  # its section has no other page
  return site_links(markdown, page.file.src_uri)


def on_post_page(output, page, **_):
  """Refuses what a browser would load from elsewhere."""
  if found := _LOADED.search(output):
    raise PluginError(f"{page.file.src_uri} loads {found[1] or found[2]}")


def site_links(markdown: str, page: str) -> str:
  """A document whose links lead to pages of the site.

  Args:
    markdown: the document.
    page: where it is on the site.
  """
  folder = os.path.dirname(_FILES.get(page, f"docs/{page}"))

  def changed(link: re.Match) -> str:
    picture, text, target, anchor = link.groups("")
    if not target or ":" in target:
      return link[0]
    path = os.path.normpath(os.path.join(folder, target))
    if path in PAGES:
      target = PAGES[path]
    elif path.startswith("docs/"):
      target = path.removeprefix("docs/")
    else:
      return text if "`" in text else f"{text} (`{path}`)" if (
          text != path) else f"`{path}`"
    target = os.path.relpath(target, os.path.dirname(page) or ".")
    return f"{picture}[{text}]({target}{anchor})"

  parts = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
  parts[::2] = [_LINK.sub(changed, part) for part in parts[::2]]
  return "".join(parts)
