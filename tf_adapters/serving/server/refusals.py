"""Requests that a server does not answer, and why: a status and one line."""

from tf_adapters.errors import InputError

BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
TIMEOUT = 408
TOO_LARGE = 413
WRONG_KIND = 422
TOO_MANY = 429
HUNG_UP = 499  # as nginx has it: the client did not wait
FAILED = 500
DRAINING = NO_MEMORY = 503


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
