"""Puts tables of reports into the documents, in the place of older ones.

After tf-adapters report, in the root of the repository:

    python docs/scripts/results.py REPORT

REPORT is the report's folder. A document says where a table goes by two lines:

    <!-- table: methods -->
    <!-- end of table -->
"""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).parents[1]
_PLACE = re.compile(
    r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.S)


def with_tables(text: str, tables: pathlib.Path) -> str:
  """A document with the tables that a folder has, as NAME.md."""
  def changed(place: re.Match) -> str:
    path = tables / f"{place[2]}.md"
    if not path.exists():
      return place[0]
    return f"{place[1]}\n{path.read_text()}\n{place[3]}"

  return _PLACE.sub(changed, text)


def main() -> None:
  tables = pathlib.Path(sys.argv[1]) / "tables"
  if not tables.is_dir():
    raise SystemExit(f"{tables}: no such folder")
  for path in sorted(DOCS.rglob("*.md")):
    text = path.read_text()
    made = with_tables(text, tables)
    if made != text:
      path.write_text(made)
      print(f"changed {path}")


if __name__ == "__main__":
  main()
