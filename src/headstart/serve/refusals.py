"""Why a request is not answered: each with its status, a message for people and a name for programs."""

from typing import Any, ClassVar

from headstart.errors import DamagedModel, HeadstartError, Misuse, UnknownName, UnreadablePicture

CLOSED = 499  # the client went away: only ever logged


class Refusal(HeadstartError):
    """A request that is not answered."""

    status: ClassVar[int] = 400
    retry_s: ClassVar[int | None] = None  # when asking again makes sense


class BadRequest(Refusal):
    """The body is not what its headers say."""


class WrongKey(Refusal):
    """No API key, or not the right one."""

    status = 401


class NotAllowed(Refusal):
    """This server does not do that for anybody."""

    status = 403


class NoSuchRoute(Refusal):
    """There is nothing at this address, or not for this method."""

    status = 404


class TooSlow(Refusal):
    """The body did not come in time."""

    status = 408


class ModelKept(Refusal):
    """A model could not be replaced; the one before still answers."""

    status = 409


class TooLarge(Refusal):
    """More bytes or more pictures than one request may bring."""

    status = 413


class WrongType(Refusal):
    """A body that is neither a picture nor a form with pictures."""

    status = 415


class NoPictures(Refusal):
    """A body without any picture."""

    status = 422


class TooOften(Refusal):
    """This client asks more often than it may."""

    status = 429
    retry_s = 1


class WrongHost(Refusal):
    """A request for a name that is not this machine's: another site's page may have made it."""

    status = 421


class HeadersTooLarge(Refusal):
    """More bytes of headers than a request needs."""

    status = 431


class Busy(Refusal):
    """As many pictures wait as may wait."""

    status = 503
    retry_s = 1


class TooLate(Refusal):
    """The answer was not ready in time."""

    status = 503
    retry_s = 1


class Gone(HeadstartError):
    """The client went away before it had sent everything. Nobody is told."""


def status_of(error: HeadstartError) -> int:
    """The status that goes with an error; what a client cannot have caused is 500."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, UnknownName):
        return 404
    if isinstance(error, Misuse | UnreadablePicture):
        return 422
    return 409 if isinstance(error, DamagedModel) else 500


def document(error: HeadstartError, request: str) -> dict[str, Any]:
    """The body that goes with an error."""
    return {"error": str(error), "kind": type(error).__name__, "request_id": request}
