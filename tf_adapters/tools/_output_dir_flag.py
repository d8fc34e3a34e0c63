"""The flag of the folder that a tool fills, the same for all that have one."""

from absl import flags

flags.DEFINE_string(
    "output_dir", None,
    "Folder of what is written; of a run: results.json, adapter/, "
    "predictions/, checkpoints/, tensorboard/. The same command resumes a run "
    "or a sweep that was stopped.")
