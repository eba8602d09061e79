"""Every way to fail.

    TertuliaError
    ├── BadRequest 400 ......... what was asked can't be done as it was asked
    │   ├── ContextOverflow .... prompt and answer are longer than the model's context
    │   ├── TemplateRefused .... the model's chat template raised an exception
    │   └── Unsupported ........ a field that this model or backend can't honour
    ├── Unauthorized 401
    ├── SpendCap 402 ........... the caller's token has spent what it may
    ├── Forbidden 403
    ├── NotFound 404
    │   └── UnknownModel
    ├── MethodNotAllowed 405
    ├── TooLarge 413
    ├── Busy 429 ............... a bound was met; ask again after ``retry_after`` seconds
    ├── EngineFault 500 ........ a defect of ours
    ├── Upstream 502 ........... a backend answered wrongly, was cut off, or died; a provider's own status is kept
    │   └── Timeout 504 ........ it was silent for too long
    └── SetupError ............. before anything is served: configuration, store, models (the command line's)
        ├── ConfigError
        └── StoreError

Type and code are class attributes, status and whether another try may help (``retryable``) are so unless a provider's
own are kept. An error carries strings and numbers, never requests. There is no 503: a popular JavaScript client answers
it by asking again without pause.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

HIDDEN = "[key]"


class TertuliaError(Exception):
    """An error that is told to the caller: ``message`` says what happened and what would work, ``param`` names the
    field at fault (``messages[0].role``). ``retryable`` is whether another try, or another backend, may do better.
    ``told`` is the code that a provider gave it; the caller sees that one, our own figures and logs see ``code``."""

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None
    retryable: bool = False
    told: str | None = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.route: list[Any] = []

    def reword(self, message: str) -> None:
        """Say something else."""
        self.message = message
        self.args = (message,)

    def hide(self, secrets: Iterable[str]) -> None:
        """Leave ``secrets`` out of everything that it says; words of three letters are none."""
        for secret in secrets:
            if len(secret) > 3 and secret in f"{self.message} {self.param} {self.told}":
                self.reword(self.message.replace(secret, HIDDEN))
                self.param = self.param and self.param.replace(secret, HIDDEN)
                self.told = self.told and self.told.replace(secret, HIDDEN)


class BadRequest(TertuliaError):
    status = 400
    type = "invalid_request_error"


class ContextOverflow(BadRequest):
    code = "context_length_exceeded"


class TemplateRefused(BadRequest):
    code = "template_error"


class Unsupported(BadRequest):
    code = "unsupported_parameter"


class Unauthorized(TertuliaError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class SpendCap(TertuliaError):
    status = 402
    type = "insufficient_quota"
    code = "spend_cap_reached"


class Forbidden(TertuliaError):
    status = 403
    type = "permission_error"


class NotFound(TertuliaError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class UnknownModel(NotFound):
    code = "model_not_found"


class MethodNotAllowed(TertuliaError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class TooLarge(TertuliaError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class Busy(TertuliaError):
    status = 429
    type = "rate_limit_error"
    code = "queue_full"
    retryable = True


class EngineFault(TertuliaError):
    code = "internal_error"


class Upstream(TertuliaError):
    status = 502
    type = "upstream_error"
    code = "upstream_error"
    retryable = True


class Timeout(Upstream):
    status = 504
    code = "timeout"


class SetupError(TertuliaError):
    """Told on the command line, in one or two lines, with an exit status of 1."""


class ConfigError(SetupError):
    pass


class StoreError(SetupError):
    pass


def by_status(status: int) -> type[TertuliaError]:
    """The class that stands for an HTTP status that a backend answered with; Upstream if there is none."""
    return _BY_STATUS.get(status, Upstream)


_BY_STATUS: dict[int, type[TertuliaError]] = {
    error.status: error
    for error in (
        BadRequest,
        Unauthorized,
        SpendCap,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        TooLarge,
        Busy,
        EngineFault,
        Timeout,
    )
}
