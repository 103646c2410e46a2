"""What can go wrong for the people who use Pinwheel, as one tree.

    PinwheelError                      code                       HTTP status
    ├── InvalidRequest                 invalid_request            400
    ├── Unauthenticated                unauthenticated            401
    ├── Forbidden                      forbidden                  403
    ├── NotFound                       not_found                  404
    ├── NotAcceptable                  not_acceptable             406
    ├── Conflict
    │   ├── JobStateConflict           job_state_conflict         409
    │   ├── InUse                      in_use                     409
    │   └── IdempotencyInProgress      idempotency_in_progress    409
    ├── Gone                           gone                       410
    ├── PayloadTooLarge                payload_too_large          413
    ├── UnsupportedMediaType           unsupported_media_type     415
    ├── Unprocessable
    │   ├── InvalidConfig              invalid_config             422
    │   ├── InvalidDataset             invalid_dataset            422
    │   └── IdempotencyMismatch        idempotency_mismatch       422
    └── Unavailable
        ├── TooManyRequests            too_many_requests          429
        ├── StoreUnavailable           store_unavailable          503
        ├── NoWorker                   no_worker                  503
        └── ModelLoading               model_loading              503

The status lives here and not in `app`, because the client turns answers back into these same classes.
Every message carries the value given and what is allowed.
"""

import errno
from typing import Any, ClassVar

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def is_full(error: BaseException) -> bool:
    """Whether it says that nothing more can be written to the data folder."""
    return isinstance(error, OSError) and error.errno in FULL


class PinwheelError(Exception):
    """Base of every error that a user can cause or meet. `extra` goes into the answer's body as it is."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        retry_after_seconds: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra


class InvalidRequest(PinwheelError):
    status, code, title = 400, "invalid_request", "The request cannot be read"


class Unauthenticated(PinwheelError):
    status, code, title = 401, "unauthenticated", "A key is needed"


class Forbidden(PinwheelError):
    status, code, title = 403, "forbidden", "This is not allowed"


class NotFound(PinwheelError):
    status, code, title = 404, "not_found", "There is no such thing"


class NotAcceptable(PinwheelError):
    status, code, title = 406, "not_acceptable", "There is no such format"


class Conflict(PinwheelError):
    status, code, title = 409, "in_use", "The state does not allow this"


class JobStateConflict(Conflict):
    code, title = "job_state_conflict", "The job's state does not allow this"


class InUse(Conflict):
    code, title = "in_use", "Something still uses this"


class IdempotencyInProgress(Conflict):
    code, title = "idempotency_in_progress", "The first request with this key is still running"


class Gone(PinwheelError):
    status, code, title = 410, "gone", "This is no longer kept"


class PayloadTooLarge(PinwheelError):
    status, code, title = 413, "payload_too_large", "The body is too large"


class UnsupportedMediaType(PinwheelError):
    status, code, title = 415, "unsupported_media_type", "The body's format is not known"


class Unprocessable(PinwheelError):
    status, code, title = 422, "invalid_config", "The request does not make sense"


class InvalidConfig(Unprocessable):
    code, title = "invalid_config", "The configuration is not valid"


class InvalidDataset(Unprocessable):
    code, title = "invalid_dataset", "The data are not valid"


class IdempotencyMismatch(Unprocessable):
    code, title = "idempotency_mismatch", "This key was used with another request"


class Unavailable(PinwheelError):
    status, code, title = 503, "store_unavailable", "Try again later"


class TooManyRequests(Unavailable):
    status, code, title = 429, "too_many_requests", "Too many requests"


class StoreUnavailable(Unavailable):
    code, title = "store_unavailable", "The store does not answer"


class NoWorker(Unavailable):
    code, title = "no_worker", "No worker answers"


class ModelLoading(Unavailable):
    code, title = "model_loading", "The model is still being loaded"


def tree(root: type[PinwheelError] = PinwheelError) -> list[type[PinwheelError]]:
    """Every class of the tree, parents before children."""
    return [root, *(found for child in root.__subclasses__() for found in tree(child))]


def from_problem(problem: dict[str, Any], status: int) -> PinwheelError:
    """The error that a problem+json answer stands for: the client raises what the server raised."""
    by_code = {kind.code: kind for kind in tree() if kind.status == status}
    kind = by_code.get(str(problem.get("code")), PinwheelError)
    known = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}
    extra = {name: value for name, value in problem.items() if name not in known}
    return kind(str(problem.get("detail") or f"HTTP {status}"), errors=problem.get("errors"), **extra)
