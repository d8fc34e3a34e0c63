"""Flags on how data is read, the same for every tool that reads rows."""

from absl import flags

from tf_adapters.data.bad_rows import ON_BAD_ROW

flags.DEFINE_enum(
    "on_bad_row", "error", ON_BAD_ROW,
    "What to do at a row of the data that cannot be used (another number of "
    "columns, an unknown label, no UTF-8, ...): stop and name it, or leave "
    "such rows out and say how many they were, and why. In a GLUE test file it "
    "is an error in any case: the server wants a prediction of each row.")
flags.DEFINE_string(
    "encoding", "utf-8",
    "What the data's files are in: utf-8, windows-1252, latin-1, gb18030, "
    "utf-16 or any other encoding that Python knows. The files of the paper's "
    "17 tasks are read as they were published.")
