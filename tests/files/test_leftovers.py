"""Leftovers of killed writers beside outputs go, and nothing else."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from tf_adapters.files.writing import (
    new_folder,
    remove_leftovers,
    replaced_file,
    replaced_folder,
    write_file,
)

WRITER = """
import pathlib, sys, time
from tf_adapters.files import writing as files
writer, path = sys.argv[1], pathlib.Path(sys.argv[2])
with getattr(files, writer)(path) as new:
  if writer == "replaced_file":
    new.write(b"half")
  else:
    (new / "weights").write_bytes(b"half")
  print("ready", flush=True)
  time.sleep(60)
"""


def start(writer, path):
  process = subprocess.Popen(
      [sys.executable, "-c", WRITER, writer, str(path)], text=True,
      stdout=subprocess.PIPE, cwd=pathlib.Path(__file__).parents[2])
  assert process.stdout.readline() == "ready\n"
  return process


def kill(process):
  process.send_signal(signal.SIGKILL)
  process.communicate()


def hidden(folder):
  return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("writer", [
    "replaced_file", "replaced_folder", "new_folder"])
def test_the_next_writer_removes_them(tmp_path, writer):
  (tmp_path / ".biobert.20250101.old").write_text("a user's own")
  (tmp_path / ".biobert.abcdefgh.new").mkdir()
  process = start(writer, tmp_path / "biobert")
  assert len(hidden(tmp_path)) == 3
  # Another output in the same folder, while it is being written and after.
  write_file(tmp_path / "other", "text")
  assert len(hidden(tmp_path)) == 3
  kill(process)
  with new_folder(tmp_path / "another"):
    pass
  assert sorted(hidden(tmp_path)) == [
      ".biobert.20250101.old", ".biobert.abcdefgh.new"]
  assert not (tmp_path / "biobert").exists()


def test_what_this_process_writes_stays(tmp_path):
  with replaced_folder(tmp_path / "one") as one, new_folder(
      tmp_path / "two") as two, replaced_file(tmp_path / "three") as three:
    for name in ("a", "b"):
      write_file(tmp_path / name, "text")
    remove_leftovers(tmp_path)
    for folder in (one, two):
      (folder / "file").touch()
    three.write(b"whole")
  assert sorted(path.name for path in tmp_path.rglob("*")) == [
      "a", "b", "file", "file", "one", "three", "two"]


@pytest.mark.parametrize("new_is_there", [True, False])
def test_killed_between_the_renames_a_folder_is_put_back(
    tmp_path, new_is_there):
  """The new one where it is whole, or else the old one."""
  class Killed(BaseException):
    pass

  (tmp_path / "output").mkdir()
  (tmp_path / "output" / "old").touch()
  rename = pathlib.Path.rename

  def once(path, target):
    if path.suffix.endswith("_new"):
      raise Killed
    return rename(path, target)

  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(pathlib.Path, "rename", once)
    if new_is_there:
      patched.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(Killed), replaced_folder(tmp_path / "output") as folder:
      (folder / "new").touch()
  assert not (tmp_path / "output").exists()
  write_file(tmp_path / "file", "text")
  assert not hidden(tmp_path)
  assert [path.name for path in (tmp_path / "output").iterdir()] == [
      "new" if new_is_there else "old"]


def test_a_folder_that_came_meanwhile_is_left_alone(tmp_path):
  with pytest.raises(FileExistsError), new_folder(tmp_path / "3") as folder:
    (folder / "file").touch()
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "theirs").touch()
  assert [path.name for path in tmp_path.rglob("*")] == ["3", "theirs"]


def test_links_in_their_place_are_not_followed(tmp_path):
  (tmp_path / "precious").mkdir()
  (tmp_path / "precious" / "file").touch()
  os.symlink(tmp_path / "precious",
             tmp_path / ".x.abcdefgh.tf_adapters_new")
  remove_leftovers(tmp_path)
  assert (tmp_path / "precious" / "file").exists()
