"""Flags of the texts' columns, the same for every tool that reads tables."""

from absl import flags

flags.DEFINE_string("text_column", "text", "Name of the texts' column.")
flags.DEFINE_string(
    "text_pair_column", None,
    "Name of the column of each pair's second text.")
