"""Measures what comes before training: imports, encoder, first step, tokens.

Seconds of importing what a training needs, of loading MiniLM-L6, and of
building a model with adapters and doing its first step (32 rows of 128 tokens:
tracing and compilation); then sentences per second of the tokenizer, on a file
of one sentence a line, and of the tokenizer that AdapterHub uses. `pack` is
`TextProcessor.pack` on all sentences at once, `encode` how a split is tokenised
for training; the peer's tokenizer makes the same of all sentences at once. Each
in a process of its own, medians over rounds. Prints JSON.

  tail -n +2 MRPC/train.tsv | cut -f4,5 | tr '\\t' '\\n' > sentences.txt
  python benchmarks/start_up.py --text_file=sentences.txt \\
      --peer_python=PEER/bin/python
"""

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import common

MAX_LENGTH = 128
CALLS = 5


def start() -> dict[str, float]:
  """Seconds of each part, from an interpreter that has imported nothing."""
  times = [time.perf_counter()]
  from tf_adapters import TextClassifier, load_encoder  # noqa: F401
  times.append(time.perf_counter())
  encoder = common.load_encoder("adapters")
  times.append(time.perf_counter())
  step = common.compiled_model(encoder, "adapters").make_train_function()
  float(step(iter(common.random_batches(MAX_LENGTH)))["loss"])
  times.append(time.perf_counter())
  parts = ("import_seconds", "load_encoder_seconds", "first_step_seconds")
  return {**{part: after - before for part, before, after in zip(
      parts, times, times[1:])}, "seconds": times[-1] - times[0]}


def tokenize(text_file: str, how: str) -> dict[str, float]:
  """Sentences per second of the project: how is "pack" or "encode"."""
  import tf_adapters as ta
  from tf_adapters.data.batching import encode

  text = ta.load_encoder(common.ENCODER).text_processor(MAX_LENGTH)
  return _rate(text_file, {
      "pack": text.pack,
      "encode": lambda sentences: encode(text, sentences, None, None)}[how])


def peer_tokenize(text_file: str, vocab_file: str) -> dict[str, float]:
  """Sentences per second of the peer."""
  from transformers import BertTokenizerFast

  tokenizer = BertTokenizerFast(vocab_file, do_lower_case=True)
  return _rate(text_file, lambda sentences: tokenizer(
      sentences, truncation=True, max_length=MAX_LENGTH))


def _rate(text_file: str,
          function: Callable[[list[str]], object]) -> dict[str, float]:
  text = pathlib.Path(text_file).read_text(encoding="utf-8")
  sentences = text.strip("\n").split("\n")
  _, *seconds = common.seconds_of_calls(
      lambda: function(sentences), 1 + CALLS)
  return {"sentences_per_second": len(sentences) / statistics.median(seconds)}


def measure() -> dict[str, Any]:
  """Runs all parts in turns; see the module's docstring."""
  parser = common.parser_of(__doc__)
  parser.add_argument(
      "--text_file", required=True, type=common.existing_file,
      help="sentences, one a line")
  parser.add_argument("--rounds", type=int, default=3, help="of all parts: 3")
  args = parser.parse_args()
  cases = {
      "start": lambda _: common.ask(start).answer(),
      **{how: lambda _, how=how: common.ask(
          tokenize, text_file=args.text_file, how=how).answer()
         for how in ("pack", "encode")}}
  if args.peer_python:
    vocab_file = f"{common.encoder_folder()}/vocab.txt"
    cases["peer"] = lambda _: common.ask(
        peer_tokenize, args.peer_python, text_file=args.text_file,
        vocab_file=vocab_file).answer()
  answers = common.in_turns(cases, range(args.rounds))
  beside = {"peer": answers["peer"]} if args.peer_python else {}
  return {**common.compared({"start": answers["start"]}),
          **common.compared({"pack": answers["pack"], **beside}),
          **common.compared({"encode": answers["encode"], **beside})}


if __name__ == "__main__":
  common.main(measure, start, tokenize, peer_tokenize)
