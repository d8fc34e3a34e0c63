"""Publishes adapter files on the Hugging Face Hub, and fetches them."""

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

from tf_adapters.adapter_files import adapter_file
from tf_adapters.adapter_files.card import (
    CARD_NAME,
    THIS_FOLDER,
    describe_adapter,
)
from tf_adapters.adapter_files.finding import FILES, TORCH_FILES, find_adapter
from tf_adapters.adapter_files.foreign import NotSaidError
from tf_adapters.adapter_files.front_matter import (
    front_matter,
    with_front_matter,
)
from tf_adapters.adapter_files.info import (
    CONFIG_NAME,
    AdapterInfo,
    read_info,
)
from tf_adapters.adapter_files.opening import open_adapter
from tf_adapters.adapter_files.place import check_place, is_ours, names_at
from tf_adapters.adapter_files.tensors import WEIGHTS_NAME
from tf_adapters.checkpoints import hugging_face_hub
from tf_adapters.checkpoints.hugging_face_hub import Repository
from tf_adapters.checkpoints.sources import is_local
from tf_adapters.errors import InputError, warn
from tf_adapters.files.reading import read_file
from tf_adapters.files.writing import replaced_folder, write_file, writing
from tf_adapters.modeling.task_model import TaskModel

# What a new repository may hold already: made on the site, for instance.
_NEW = {".gitattributes", CARD_NAME, "LICENSE"}


class HasModel(Protocol):
  """An object with a model in it, such as a `TextTask`."""

  @property
  def model(self) -> TaskModel: ...


def push_to_hub(path_or_model: str | os.PathLike[str] | TaskModel | HasModel,
                repository: str, private: bool = False,
                license: str | None = None, language: str | None = None,
                datasets: Sequence[str] = ()) -> str:
  """Publishes an adapter file on the Hugging Face Hub, in one commit.

  The repository is made if it is not there. Its card says what the file says;
  the Hub reads its head. Needs the extra "hub", and a token that may write
  (`hf auth login`, or HF_TOKEN).

  Args:
    path_or_model: an adapter file; or a model, as for `save_adapter`, or a
      `TextTask`.
    repository: "owner/name".
    private: whether a new repository is private.
    license, language, datasets: for the card, by the Hub's names, such as
      "apache-2.0", "en" and ["nyu-mll/glue"]. What is not given is not said.

  Returns:
    What `load_adapter` and banks take: "hf://owner/name@commit".

  Raises:
    InputError: the file cannot be read, or is damaged; as for `save_adapter`;
      the repository holds something else; it may not be written; or the Hub
      cannot be reached.

  Example:
    >>> push_to_hub("adapters/mrpc", "me/bert-base-mrpc", language="en")
    'hf://me/bert-base-mrpc@1f0...'
  """
  target = Repository.parse(repository)
  if target.revision is not None:
    raise InputError(f"{repository}: files are published on the main branch: "
                     f"leave out @{target.revision}")
  hugging_face_hub.check_library(str(target))
  given = {"license": license, "language": language,
           "datasets": list(datasets)}
  head = {name: value for name, value in given.items() if value}
  if isinstance(path_or_model, str | os.PathLike):
    return _push(pathlib.Path(path_or_model), target, private, head)
  # A `TextTask`, which this part of the package does not know, has a model.
  model: Any = getattr(path_or_model, "model", path_or_model)
  with tempfile.TemporaryDirectory() as folder:
    # A task without a name is called as the folder.
    path = pathlib.Path(folder, target.name.rpartition("/")[2])
    return _push(adapter_file.save_adapter(model, path), target, private, head)


def pull_adapter(source: str, path: str | os.PathLike[str]) -> pathlib.Path:
  """Writes an adapter file of the Hugging Face Hub into a folder.

  Args:
    source: "hf://owner/name", with "@revision" or without.
    path: the folder to write.

  Returns:
    The path.

  Raises:
    InputError: as for `hugging_face_hub.fetch`; the file is damaged; or there
      is something else at `path`.
  """
  names_at(path)  # nothing is fetched for what cannot be written
  repository = Repository.parse(source)
  fetched = pathlib.Path(find_adapter(str(repository)))
  _check_whole(fetched)
  hugging_face_hub.fetch(
      str(repository.at(fetched.name)), (CONFIG_NAME, CARD_NAME))
  # Others may have put more of the repository into the cache.
  names = [name for name in (*FILES, *TORCH_FILES, CARD_NAME)
           if (fetched / name).exists()]
  check_place(path, names, is_ours(fetched))
  folder = pathlib.Path(path).resolve()
  with writing(folder), replaced_folder(folder) as new:
    for name in names:
      write_file(new / name, (fetched / name).read_bytes())
  return pathlib.Path(path)


def _check_whole(path: pathlib.Path) -> None:
  """Raises InputError for a file that is damaged; what is in it is read.

  The labels of another library's file are asked for where it is loaded, and its
  head where there is one.
  """
  try:
    describe_adapter(path)
  except NotSaidError:
    open_adapter(path, with_head=False).arrays()


def _push(path: pathlib.Path, target: Repository, private: bool,
          head: dict[str, Any]) -> str:
  info = read_info(path)
  describe_adapter(path)  # which reads all of it
  card = _card(path / CARD_NAME, info, head)
  source = info.encoder["source"]
  if is_local(source):
    warn(f"{path}: its encoder is {source}, which others do not have: they "
         "have to give one of the same weights as encoder_source")
  hub = hugging_face_hub.library(str(target))
  api = hub.HfApi()
  with hugging_face_hub.errors(str(target)):
    _check_repository(hub, api, target)
    api.create_repo(target.name, private=private, exist_ok=True)
    content: dict[str, Any] = {
        name: str(path / name) for name in (CONFIG_NAME, WEIGHTS_NAME)}
    content[CARD_NAME] = card.replace(THIS_FOLDER, str(target)).encode()
    commit = api.create_commit(
        target.name, [hub.CommitOperationAdd(name, value)
                      for name, value in content.items()],
        commit_message=f"Adapter of task {info.task}")
  return str(target.at(commit.oid))


def _card(file: pathlib.Path, info: AdapterInfo, head: dict[str, Any]) -> str:
  """Puts a head on the card, in which what its author has written stays."""
  try:
    card = read_file(file).decode() if file.exists() else f"# {info.task}\n"
    if not card.startswith("---"):  # of version 0.1
      head = {**front_matter(info), **head}
    return with_front_matter(card, head)
  except UnicodeDecodeError:
    raise InputError(f"{file}: is not UTF-8") from None
  except InputError as error:
    raise InputError(f"{file}: {error}") from None


def _check_repository(hub: Any, api: Any, target: Repository) -> None:
  """Raises InputError where a repository holds something else."""
  try:
    files = set(api.list_repo_files(target.name))
  except hub.errors.RepositoryNotFoundError:
    return  # to be made
  if CONFIG_NAME not in files and files - _NEW:
    raise InputError(f"{target}: holds {min(files - _NEW)}, and no adapter "
                     "file: choose another repository")
