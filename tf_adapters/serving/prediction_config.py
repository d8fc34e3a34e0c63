"""The configuration of `tf-adapters predict`: inputs, columns, output."""

import dataclasses
import os

from tf_adapters.data import rows
from tf_adapters.data.bad_rows import BadRows
from tf_adapters.data.cell_rows import check_delimiter
from tf_adapters.data.encodings import AUTO_ENCODING, UTF_8, check_encoding
from tf_adapters.errors import InputError
from tf_adapters.serving.prediction_input import STANDARD


@dataclasses.dataclass(frozen=True)
class PredictionConfig:
  """Where texts are read, and where predictions are written.

  Attributes:
    input, output: files, or "-" for standard input and output.
    format: of the input, one of `data.rows.INPUT_FORMATS`; None for what its
      ending says. The output's is what its ending says; for "-" the input's, or
      TSV for plain lines.
    text_column: name of the texts' column.
    text_pair_column: name of the column of each pair's second text, or None.
    task_column: name of the column that says which task a row is for; None
      where the bank has one task only.
    on_bad_row: "error" stops at a row that cannot be predicted, "skip" leaves
      such rows out and counts them; see `BadRows`.
    predict_batch_size: texts per forward pass.
    encoding: of the input, see `data.encodings.decoded`; `AUTO_ENCODING` to
      find it.
    delimiter: what stands between the cells of a table; None to find it.
    keep_columns: whether a record has the input's columns, too.
    overwrite: whether to write over an output that is there.

  Raises:
    InputError: a value is of no use, or two columns are the same.
  """

  input: str
  output: str
  format: str | None = None
  text_column: str = "text"
  text_pair_column: str | None = None
  task_column: str | None = None
  on_bad_row: str = "error"
  predict_batch_size: int = 64
  encoding: str = UTF_8
  delimiter: str | None = None
  keep_columns: bool = False
  overwrite: bool = False

  def __post_init__(self) -> None:
    if self.input == STANDARD and self.format is None:
      raise InputError(
          "format must be given for standard input: txt, a text on each line; "
          "tsv or csv, whose first line names the columns; or jsonl")
    if self.format not in (None, *rows.INPUT_FORMATS):
      raise InputError("format must be one of "
                       f"{', '.join(rows.INPUT_FORMATS)}, not {self.format!r}")
    for name in ("text_pair_column", "task_column", "delimiter"):
      if self.format == rows.PLAIN and getattr(self, name) is not None:
        raise InputError(f"{name}: format txt is a text on each line, without "
                         "columns: csv, tsv and jsonl have some")
    if self.predict_batch_size < 1:
      raise InputError("predict_batch_size must be positive, not "
                       f"{self.predict_batch_size}")
    if len(set(self.columns())) < len(self.columns()):
      raise InputError("text_column, text_pair_column and task_column must "
                       "differ")
    BadRows(self.input, self.on_bad_row)  # raises
    if self.encoding != AUTO_ENCODING:
      check_encoding(self.encoding)
    check_delimiter(self.delimiter)
    if self.format is None and os.path.isdir(self.input):
      raise InputError(f"{self.input}: is a folder: give one of its files")
    self.formats()

  def formats(self) -> tuple[str, str]:
    """Returns the formats of the input and the output."""
    try:
      read = self.format or rows.format_of(self.input, rows.INPUT_ENDINGS)
    except InputError as error:
      raise InputError(
          f"{error}; format=txt reads a text on each line, format=csv and the "
          "like say what another file holds") from None
    if self.output != STANDARD:
      return read, rows.format_of(self.output)
    return read, "tsv" if read == rows.PLAIN else read

  def columns(self) -> list[str]:
    """Returns the input's columns that are read."""
    return [column for column in (
        self.text_column, self.text_pair_column, self.task_column)
            if column is not None]
