"""The flag of one adapter file, the same for every tool that looks into one."""

from absl import flags

flags.DEFINE_string("adapter", None, "Folder of an adapter file.")
