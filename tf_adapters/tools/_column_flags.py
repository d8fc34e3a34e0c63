"""Flags of the texts' columns, the same for every tool that reads tables."""

from absl import flags

flags.DEFINE_string(
    "text_column", "text",
    "Name of the texts' column. Task tagging: number of the words' column, "
    "from 1; without it the first one, or the second where the first one "
    "counts the words.")
flags.DEFINE_string(
    "text_pair_column", None,
    "Name of the column of each pair's second text.")
