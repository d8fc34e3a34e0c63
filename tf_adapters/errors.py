"""The one exception that means "what was given to us is wrong".

Everything that a caller can put right (a file, a flag value, a name) raises it
with a message of one line; the command lines print that line and exit with
status 1. Any other exception is a defect and keeps its stack trace.
"""


class InputError(ValueError):
  """A mistake in what the caller gave; the message says what and where."""
