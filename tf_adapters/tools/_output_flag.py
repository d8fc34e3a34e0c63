"""The flag of what a tool writes, the same for every tool that has one."""

from absl import flags

flags.DEFINE_string("output", None, "What to write; see above.")
