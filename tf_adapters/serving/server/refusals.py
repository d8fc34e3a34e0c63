"""Requests that a server does not answer, and why: a status and one line."""

from tf_adapters.errors import InputError
from tf_adapters.serving.adapter_folder import IncompleteError

BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
TIMEOUT = 408
TOO_LARGE = 413
COMPRESSED = 415
WRONG_KIND = 422
TOO_MANY = 429
HUNG_UP = 499  # as nginx has it: the client did not wait
FAILED = 500
DRAINING = NO_MEMORY = CHANGING = 503
# A file that is being written may be whole by then.
_SECONDS_TO_WRITE = 2


class Refusal(Exception):
  """Why a request is not answered.

  Args:
    status: of HTTP.
    reason: what is wrong and the remedy; it becomes one line.
    retry_after: seconds after which the request may be sent again; None where
      it has to be another one.
    text: the number of the text that is meant, if one is.

  Attributes:
    status, reason, retry_after, text: the same.
  """

  def __init__(self, status: int, reason: str,
               retry_after: int | None = None, text: int | None = None):
    super().__init__(status, reason, retry_after, text)
    self.status = status
    self.reason = reason
    self.retry_after = retry_after
    self.text = text

  @property
  def message(self) -> str:
    """The reason, with the number of the text that is meant: one line."""
    return str(InputError(self.reason if self.text is None
                          else f"text {self.text}: {self.reason}"))

  def __str__(self) -> str:
    return self.message


def of_file(error: InputError) -> Refusal:
  """Refuses a task whose file cannot be read.

  Returns:
    503 while the file is being written, 404 for one that is not whole: there is
    no such task yet. Else 500: no request can do anything about it.
  """
  if not isinstance(error, IncompleteError):
    return Refusal(FAILED, str(error))
  if error.is_changing:
    return Refusal(CHANGING, str(error), _SECONDS_TO_WRITE)
  return Refusal(NOT_FOUND, str(error))
