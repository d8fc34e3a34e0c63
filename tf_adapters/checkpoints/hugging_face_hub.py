"""Repositories of the Hugging Face Hub: hf://owner/name, read and kept.

By huggingface_hub, whose cache, token and settings count (HF_HOME, HF_TOKEN,
HF_ENDPOINT, HF_HUB_OFFLINE). Files are asked for by name: what no reader opens,
pickled weights above all, is never fetched.
"""

import contextlib
import dataclasses
import importlib.util
import pathlib
import re
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from tf_adapters.checkpoints.hub_archives import MOST_BYTES
from tf_adapters.errors import InputError, first_line, say

SCHEME = "hf://"

# What huggingface_hub takes: no "--", no "..", none of ".-" at an end.
_PART = r"\w(?:[\w.-]{0,94}\w)?"
_REPOSITORY = re.compile(
    rf"(?!.*\.\.|[^@]*--|[^@]*\.git(?:@|$))(?P<name>(?:{_PART}/)?{_PART})"
    r"(?:@(?P<revision>\w[\w./-]*))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FORM = (f"expected {SCHEME}owner/name, or {SCHEME}owner/name@revision with a "
         "branch, a tag or a commit")
_MEGABYTE = 1_000_000
_SECONDS_OF_SILENCE = 60


@dataclasses.dataclass(frozen=True)
class Repository:
  """A repository of models.

  Attributes:
    name: "owner/name"; some old ones have no owner.
    revision: a branch, a tag or a commit; None for the main branch.
  """

  name: str
  revision: str | None = None

  @classmethod
  def parse(cls, source: str) -> "Repository":
    """Makes one of "hf://owner/name@revision".

    Raises:
      InputError: it is of another form.
    """
    found = _REPOSITORY.fullmatch(source.removeprefix(SCHEME))
    if found is None:
      raise InputError(f"{source}: is no repository: {_FORM}")
    return cls(found["name"], found["revision"])

  def __str__(self) -> str:
    return f"{SCHEME}{self.name}" + (
        "" if self.revision is None else f"@{self.revision}")

  def at(self, commit: str) -> "Repository":
    """Returns the same as it was at a commit."""
    return dataclasses.replace(self, revision=commit)

  @property
  def is_pinned(self) -> bool:
    """Whether the revision is a commit, whose files never change."""
    return _COMMIT.fullmatch(self.revision or "") is not None


def is_repository(source: object) -> bool:
  """Returns whether a source or a path is a repository: "hf://..."."""
  return isinstance(source, str) and source.startswith(SCHEME)


def check_library(source: str) -> None:
  """Raises InputError where huggingface_hub is not installed."""
  if importlib.util.find_spec("huggingface_hub") is None:
    raise InputError(
        f"{source}: needs the package huggingface_hub: pip install -e '.[hub]' "
        "in the checkout")


def library(source: str) -> ModuleType:
  """Imports huggingface_hub, which takes a moment.

  Raises:
    InputError: it is not installed.
  """
  check_library(source)
  import huggingface_hub
  import huggingface_hub.constants
  import huggingface_hub.errors
  return huggingface_hub


def fetch(source: str, names: Sequence[str]) -> pathlib.Path:
  """Fetches a repository's files, if need be, and returns their folder.

  What is in the cache is not fetched again, and of a commit that is there as a
  whole nobody is asked. Where the Hub cannot be reached, the newest commit in
  the cache counts, which is said.

  Args:
    source: the repository.
    names: of the files; all but the first may be missing.

  Returns:
    A folder of the cache, whose name is the commit.

  Raises:
    InputError: there is no such repository or revision, it may not be read, it
      does not have the first file, or it cannot be fetched.
  """
  repository, hub = Repository.parse(source), library(source)
  with errors(source):
    kept = _kept(hub, repository, names)
  if kept is not None and repository.is_pinned:
    return kept
  try:
    with errors(source):
      found = hub.HfApi().model_info(
          repository.name, revision=repository.revision, files_metadata=True,
          timeout=_SECONDS_OF_SILENCE)
  except _Unreachable as error:
    if kept is None:
      raise InputError(
          f"{error}, and it is not in the cache: without a network give a "
          "local folder, or the HF_HOME of a machine that has fetched it"
      ) from None
    say(f"{error}: taken from the cache, as of commit {kept.name}",
        error=True)
    return kept
  sizes = {file.rfilename: file.size or 0 for file in found.siblings}
  if names[0] not in sizes:
    raise InputError(f"{source}: has no {names[0]}")
  return _fetch(hub, repository, found.sha, names, sizes)


def pinned(source: str, names: Sequence[str]) -> str | None:
  """Returns a repository at the commit that the cache has of it; None for none.

  Args:
    source, names: as for `fetch`, which asks nobody for what this returns.
  """
  repository = Repository.parse(source)
  if importlib.util.find_spec("huggingface_hub") is None:
    return None
  with errors(source):
    kept = _kept(library(source), repository, names)
  return None if kept is None else str(repository.at(kept.name))


def _fetch(hub: ModuleType, repository: Repository, commit: str,
           names: Sequence[str], sizes: dict[str, int]) -> pathlib.Path:
  missing = [name for name in names if _place(
      hub, repository.at(commit), name) is None]
  size = sum(sizes.get(name, 0) for name in missing)
  if size > MOST_BYTES:
    raise InputError(f"{repository}: its files have {size:,} bytes, expected "
                     f"at most {MOST_BYTES:,}")
  if size:
    say(f"fetching {repository}: {size / _MEGABYTE:,.1f} MB", error=True)
  with errors(str(repository)):
    # By the revision's own name, which the cache then knows the commit of.
    first = pathlib.Path(hub.hf_hub_download(
        repository.name, names[0], revision=repository.revision))
    known = repository.at(first.parent.name)
    for name in names:
      if _place(hub, known, name) is None:
        try:
          hub.hf_hub_download(known.name, name, revision=known.revision)
        except hub.errors.LocalEntryNotFoundError:
          raise  # the Hub is gone
        except hub.errors.EntryNotFoundError:
          pass  # which the cache knows from now on
  return first.parent


def _kept(hub: ModuleType, repository: Repository,
          names: Sequence[str]) -> pathlib.Path | None:
  """Returns the folder in the cache, if all is known of the files."""
  places = [_place(hub, repository, name) for name in names]
  if not isinstance(places[0], str) or None in places:
    return None
  return pathlib.Path(places[0]).parent


def _place(hub: ModuleType, repository: Repository, name: str) -> Any:
  """Returns a file in the cache; None where nothing is known of it."""
  return hub.try_to_load_from_cache(
      repository.name, name, revision=repository.revision)


class _Unreachable(InputError):
  """The Hub cannot be reached."""


@contextlib.contextmanager
def errors(source: str) -> Iterator[None]:
  """Says in one line what the library's errors mean.

  Raises:
    InputError: there is no such repository or revision, it may not be read or
      written, the Hub cannot be reached, or the cache cannot be written.
  """
  hub = library(source)
  repository, known = Repository.parse(source), hub.errors
  endpoint = hub.constants.ENDPOINT
  page = f"{endpoint}/{repository.name}"
  login = "log in (`hf auth login`) or set HF_TOKEN"
  try:
    yield
  except InputError:
    raise
  except known.GatedRepoError:
    raise InputError(f"{source}: is gated: ask for access at {page}, then "
                     f"{login}") from None
  except known.RepositoryNotFoundError:
    raise InputError(
        f"{source}: there is no such repository at {endpoint}, or it is "
        f"private: check the name; for a private one {login}") from None
  except known.RevisionNotFoundError:
    raise InputError(
        f"{source}: the repository has no revision {repository.revision!r}: "
        f"{page}/commits/main lists its commits") from None
  except known.OfflineModeIsEnabled:
    raise _Unreachable(f"{source}: HF_HUB_OFFLINE is set") from None
  except known.LocalEntryNotFoundError:
    raise _Unreachable(
        f"{source}: {endpoint} cannot be reached") from None
  except known.LocalTokenNotFoundError:
    raise InputError(f"{source}: needs a token: {login}") from None
  except known.HfHubHTTPError as error:
    status = error.response.status_code
    if status in (401, 403):
      raise InputError(f"{source}: {endpoint} refuses it ({status}): "
                       f"{login}, with a token that may do this") from None
    reason = f"{source}: {endpoint} answers {status}"
    if status >= 500:
      raise _Unreachable(reason) from None
    raise InputError(f"{reason}: {first_line(error)}") from None
  except ValueError as error:  # of a card's head, for instance
    raise InputError(f"{source}: {' '.join(str(error).split())}") from None
  except OSError as error:
    if error.filename is not None:
      raise InputError(f"{source}: cannot be kept in {error.filename}: "
                       f"{error.strerror}: HF_HOME names another folder"
                       ) from None
    raise _Unreachable(
        f"{source}: {endpoint} cannot be reached ({type(error).__name__})"
    ) from None
  except Exception as error:
    # Versions from 1 on are made with httpx, whose errors are no OSErrors.
    if not type(error).__module__.startswith(("httpx", "httpcore")):
      raise
    raise _Unreachable(
        f"{source}: {endpoint} cannot be reached ({type(error).__name__})"
    ) from None
