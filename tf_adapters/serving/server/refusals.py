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
    message: what is wrong and the remedy; it becomes one line.
    retry_after: seconds after which the request may be sent again; None where
      it has to be another one.
  """

  def __init__(self, status: int, message: str,
               retry_after: int | None = None):
    self.message = str(InputError(message))
    super().__init__(self.message)
    self.status = status
    self.retry_after = retry_after


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
