"""Puts tables of reports into the documents, in the place of older ones.

After tf-adapters report, in the root of the repository:

    python docs/scripts/results.py REPORT NAME

REPORT is the report's folder. A document says where its table "methods" goes by
two lines:

    <!-- table: NAME/methods -->
    <!-- end of table -->
"""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).parents[1]
_PLACE = re.compile(
    r"(<!-- table: ([\w-]+)/([\w-]+) -->\n).*?(<!-- end of table -->)", re.S)


def with_tables(text: str, tables: pathlib.Path, name: str) -> str:
  """A document with the tables of a report.

  Args:
    text: the document.
    tables: the report's folder of tables.
    name: the report's name in documents.
  """
  def changed(place: re.Match) -> str:
    path = tables / f"{place[3]}.md"
    if place[2] != name or not path.exists():
      return place[0]
    return f"{place[1]}\n{path.read_text()}\n{place[4]}"

  return _PLACE.sub(changed, text)


def main() -> None:
  report, name = sys.argv[1:]
  tables = pathlib.Path(report) / "tables"
  if not tables.is_dir():
    raise SystemExit(f"{tables}: no such folder")
  for path in sorted(DOCS.rglob("*.md")):
    text = path.read_text()
    made = with_tables(text, tables, name)
    if made != text:
      path.write_text(made)
      print(f"changed {path}")


if __name__ == "__main__":
  main()
