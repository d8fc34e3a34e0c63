"""Reads lines of text files in any encoding.

A byte that is not of a file's encoding comes as `os.fsdecode` has it,
"\\udcff": what becomes of its line is the reader's business.
"""

import codecs
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from tf_adapters.data.bad_rows import NO_UTF_8
from tf_adapters.errors import InputError
from tf_adapters.files.reading import check_text

UTF_8 = "utf-8"
AUTO_ENCODING = "auto"  # what a user says who wants it to be found
# What published files are in: latin-1, even where it could be UTF-8;
LATIN_1 = "latin-1, even if utf-8"
# UTF-8 with stray bytes of latin-1;
MIXED = "utf-8 or latin-1"
# latin-1, except for files that somebody has converted to UTF-8.
EITHER = "latin-1, if not utf-8"
# windows-1252 that was found, though some lines could be UTF-8.
WINDOWS = "windows-1252, even if utf-8"

_NO_TEXT = re.compile("[\ud800-\udfff]")
_NOT_IN_WINDOWS = b"\x81\x8d\x8f\x90\x9d"
_READS_UTF_16 = "encoding=utf-16 reads it"
# Lines of another encoding that are UTF-8 by accident do not follow each other.
_NO_ACCIDENT = 3
_TELLING = 10_000  # lines of a file that tell what it is in
_CHUNK = 1 << 20  # bytes that are read at once


def check_encoding(name: str) -> str:
  """Checks the encoding of a name that a user gave.

  Raises:
    InputError: there is none of that name.
  """
  try:
    "a".encode(name)
    known = codecs.lookup(name).name
  except (LookupError, ValueError):
    raise InputError(
        "encoding must be the name of one, such as utf-8, windows-1252, "
        f"latin-1, gb18030 or utf-16, not {name!r}") from None
  return UTF_8 if known in ("utf-8", "utf-8-sig") else name


def found_encoding(path: pathlib.Path) -> str:
  """Finds UTF-8 or UTF-16 where a file is in it, else windows-1252 or latin-1.

  A few lines in another encoding are bad lines of a file in UTF-8.

  Raises:
    InputError: the file cannot be read.
  """
  try:
    with open(path, "rb") as file:
      if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
      if _is_in(file, UTF_8) or _is_mostly_utf_8(file):
        return UTF_8
      return WINDOWS if _is_in(file, "windows-1252") else LATIN_1
  except OSError as error:
    raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _is_mostly_utf_8(file: BinaryIO) -> bool:
  """Returns whether most of the first lines that tell are UTF-8."""
  file.seek(0)
  telling = [is_utf_8(_utf_8(line)) for line in itertools.islice(
      (line for line in file if not line.isascii()), _TELLING)]
  return 2 * sum(telling) > len(telling)


def _is_in(file: BinaryIO, encoding: str) -> bool:
  """Returns whether all of a file can be decoded."""
  decoder = codecs.getincrementaldecoder(encoding)()
  file.seek(0)
  try:
    while content := file.read(_CHUNK):
      decoder.decode(content)
    decoder.decode(b"", final=True)
  except UnicodeDecodeError:
    return False
  return True


def encoding_note(name: str, encoding: str) -> str:
  """Returns the note on an encoding that was found; "" for UTF-8."""
  return "" if encoding == UTF_8 else (
      f"{name}: is not UTF-8 and is read as {encoding.partition(',')[0]}: give "
      "encoding if letters are wrong")


def read_lines(path: pathlib.Path, encoding: str = UTF_8) -> Iterator[str]:
  """Yields the lines of a file, each with the line feed that ends it.

  Args:
    path: the file.
    encoding: any that Python knows; `LATIN_1`; `MIXED`, where each line that
      is no UTF-8 is taken for latin-1; or `EITHER`, where the whole file is.

  Raises:
    InputError: it cannot be read, is no text, or there is no such encoding.
  """
  if encoding == EITHER:
    encoding = UTF_8 if all(
        is_utf_8(line) for line in read_lines(path)) else LATIN_1
  try:
    with open(path, "rb") as file:
      yield from decoded(path, file, encoding)
  except OSError as error:
    raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def decoded(name: pathlib.Path | str, lines: Iterable[bytes],
            encoding: str = UTF_8) -> Iterator[str]:
  """As `read_lines`, for lines of bytes from anywhere.

  Args:
    name: what to call the file in errors.
    lines: each with the line feed that ends it.
    encoding: as for `read_lines`, but `EITHER`.

  Raises:
    InputError: they are no text, are UTF-8 where that is not what they should
      be, or there is no such encoding.
  """
  decode = _DECODE.get(encoding)
  if decode is None and (encoding := check_encoding(encoding)) != UTF_8:
    yield from _lines_in(name, _checked(name, lines, encoding), encoding)
    return
  for number, line in enumerate(lines, 1):
    if number == 1:
      check_text(name, line[:1000], _READS_UTF_16)
      if encoding not in (LATIN_1, WINDOWS):
        line = line.removeprefix(codecs.BOM_UTF8)
    yield (decode or _utf_8)(line)


def _utf_8(line: bytes) -> str:
  return line.decode(UTF_8, "surrogateescape")


def _latin_1(line: bytes) -> str:
  return line.decode("latin-1")


def _windows(line: bytes) -> str:
  return line.decode("windows-1252")


def _mixed(line: bytes) -> str:
  text = _utf_8(line)
  return text if is_utf_8(text) else _latin_1(line)


_DECODE = {LATIN_1: _latin_1, MIXED: _mixed, WINDOWS: _windows}


def _lines_in(name: pathlib.Path | str, lines: Iterable[bytes],
              encoding: str) -> Iterator[str]:
  """Yields lines of an encoding in which a line feed may be of several bytes.
  """
  decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
  number, left = 1, ""
  try:
    for line in lines:
      *whole, left = (left + decoder.decode(line)).split("\n")
      for text in whole:
        yield (text.removeprefix("\ufeff") if number == 1 else text) + "\n"
        number += 1
    left += decoder.decode(b"", final=True)
  except UnicodeError as error:
    reason = getattr(error, "reason", error)
    raise InputError(
        f"{name}:{number}: is no {encoding} text: {reason}") from None
  if left:
    yield left.removeprefix("\ufeff") if number == 1 else left


def _checked(name: pathlib.Path | str, lines: Iterable[bytes],
             encoding: str) -> Iterator[bytes]:
  """Refuses what is read wrongly without a fault.

  In an encoding of one byte a character nearly everything is text, UTF-8 and
  UTF-16, too.

  Raises:
    InputError: it is UTF-8 or UTF-16.
  """
  if len(bytes(range(256)).decode(encoding, "replace")) != 256:
    yield from lines
    return
  lines, of_utf_8 = iter(lines), []
  for number, line in enumerate(lines, 1):
    if number == 1:
      check_text(name, line[:1000], _READS_UTF_16)
    if not line.isascii():
      if not is_utf_8(_utf_8(line)):  # nor is the file
        yield line
        yield from lines
        return
      of_utf_8.append(number)
      if len(of_utf_8) == _NO_ACCIDENT:
        break
    yield line
  if of_utf_8:
    raise InputError(f"{name}:{of_utf_8[0]}: is UTF-8 text, not {encoding}: "
                     "leave encoding out")


def is_utf_8(text: str) -> bool:
  """Returns whether `decoded` met nothing else."""
  return not _NO_TEXT.search(text)


def not_decoded(text: str, encoding: str) -> tuple[str, str, str] | None:
  """Returns the arguments of `BadRows.refuse` for a row, or None.

  Args:
    text: of the row, by `decoded`.
    encoding: that it was read in.

  Returns:
    The kind of fault, what is wrong with this row, and the remedy; None where
    every byte is of the encoding.
  """
  wrong = bytes(ord(half) - 0xdc00 for half in _NO_TEXT.findall(text)
                if 0xdc80 <= ord(half) <= 0xdcff)
  if not wrong:
    return None
  what = f"text: byte 0x{wrong[:1].hex()}"
  if check_encoding(encoding) != UTF_8:
    return (f"not in {encoding}", f"is no {encoding} {what}",
            "say another encoding (latin-1 takes every byte), or leave such "
            "rows out with on_bad_row=skip")
  # A few bytes are nothing in windows-1252, which else has all of latin-1.
  guess = "latin-1" if wrong.translate(None, _NOT_IN_WINDOWS) != wrong else (
      "windows-1252")
  character = wrong[:1].decode(guess)
  if character.isprintable():
    what += f", which is {character!r} in {guess}"
  return (NO_UTF_8, f"is no UTF-8 {what}",
          "say what the file is in: " + "".join(
              f"encoding={name}, " for name in dict.fromkeys([guess, "latin-1"])
          ) + "or another name; on_bad_row=skip leaves such rows out")


def check_line_ends(name: pathlib.Path | str, first: str) -> None:
  """Refuses lines that do not end in line feeds.

  Where they end in carriage returns alone the whole file is one line.

  Args:
    name: what to call the file.
    first: its first line.

  Raises:
    InputError: there is a carriage return in it.
  """
  if "\r" in first.removesuffix("\n").removesuffix("\r"):
    raise InputError(
        f"{name}:1: has a carriage return in it: lines have to end in line "
        "feeds, with or without one carriage return before them")
