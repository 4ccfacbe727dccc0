"""A request's body becomes pictures: streamed into memory, never to disk, and never more than was allowed.

A body is one picture, or a form (multipart/form-data) each part of which is a picture. Names are told back
with the answers and are used for nothing else. Content types of parts are not believed: the content decides.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from headstart.serve.refusals import BadRequest, Busy, Gone, NoPictures, TooLarge, WrongType
from headstart.serve.settings import Settings

if TYPE_CHECKING:
    from starlette.types import Receive

FORM = "multipart/form-data"
BODY = "body"  # the name of a picture that is the body itself
LONGEST_NAME = 255  # letters of a name that are told back
HEADER_BYTES = 8192  # of one part
KINDS = "one picture (image/*, application/octet-stream) or a form with pictures (multipart/form-data)"


@dataclass(frozen=True)
class Picture:
    """One picture as it came."""

    name: str
    data: bytes


@dataclass(eq=False)
class Store:
    """How many bytes of bodies are in memory, of all requests together. Used in the event loop only."""

    most: int
    held: int = 0

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises:
            Busy: there are too many already.
        """
        if self.held + count > self.most:
            raise Busy("too many uploads are under way. Try again in a moment.")
        self.held += count

    def give(self, count: int) -> None:
        """Count bytes out."""
        self.held -= count


@dataclass(eq=False)
class Share:
    """What one request holds of the store; given back at its end."""

    store: Store
    held: int = 0

    def take(self, count: int) -> None:
        """Count bytes in; see `Store.take`."""
        self.store.take(count)
        self.held += count

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: object) -> None:
        self.store.give(self.held)
        self.held = 0


async def pictures(
    headers: Mapping[str, str], receive: "Receive", settings: Settings, share: Share
) -> list[Picture]:
    """The pictures of a body, in its order.

    Raises:
        WrongType: it is neither a picture nor a form.
        TooLarge: more bytes, or more parts, than are allowed.
        NoPictures, BadRequest: it is empty; it is not the form that it says it is.
        Busy: other uploads fill the memory.
        Gone: the client went away.
    """
    kind, boundary = _kind(headers)
    _check_length(headers.get("content-length"), settings)
    if boundary is None:
        whole = bytearray()  # a list of pieces would cost much more where they come byte by byte
        async for piece in _pieces(receive, settings, share):
            whole += piece
        found = [Picture(BODY, bytes(whole))]
    else:
        form = _Form(boundary, settings.max_files)
        async for piece in _pieces(receive, settings, share):
            form.write(piece)
        found = form.close()
    if not found or (boundary is None and not found[0].data):
        raise NoPictures(f"there is no picture in this body ({kind or 'empty'}). Send {KINDS}.")
    return found


def _kind(headers: Mapping[str, str]) -> tuple[str, bytes | None]:
    """The content type, and the boundary of a form."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise WrongType("compressed bodies are not unpacked here. Send the picture as it is.")
    found, options = parse_options_header(headers.get("content-type", "application/octet-stream"))
    kind = found.decode("latin-1")
    if kind == FORM:
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:  # RFC 2046
            raise BadRequest("this form has no boundary, or one of more than 70 letters.")
        return kind, boundary
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise WrongType(f"a body of type {kind[:80]!r} was sent; wanted is {KINDS}.")
    return kind, None


def _check_length(said: str | None, settings: Settings) -> None:
    """Refuse before anything is read what says itself that it is too large."""
    if said is not None and said.isdecimal() and int(said[:20]) > settings.max_bytes:
        raise _too_large(settings)


def _too_large(settings: Settings) -> TooLarge:
    return TooLarge(
        f"this body is over the limit of {settings.max_bytes:,} bytes. Send fewer or smaller pictures."
    )


async def _pieces(receive: "Receive", settings: Settings, share: Share) -> AsyncIterator[bytes]:
    """What comes, as it comes, until it is too much."""
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone("the client went away before it had sent everything")
        piece: bytes = message.get("body", b"")
        if piece:
            total += len(piece)
            if total > settings.max_bytes:
                raise _too_large(settings)
            share.take(len(piece))
            yield piece
        if not message.get("more_body", False):
            return


@dataclass(eq=False)
class _Part:
    name: str = ""
    data: bytearray = field(default_factory=bytearray)


class _Form:
    """A form taken apart while it comes."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most, self._parts, self._ended = most, list[_Part](), False
        self._header, self._value, self._headers = b"", b"", dict[bytes, bytes]()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
        )

    def write(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise BadRequest(f"this body is not the form that it says it is: {error}.") from error

    def close(self) -> list[Picture]:
        if not self._ended:
            raise BadRequest("this form is cut short: its last boundary is missing.")
        found = []
        for part in self._parts:
            found.append(Picture(part.name, bytes(part.data)))
            part.data.clear()
        return found

    def _begin(self) -> None:
        if len(self._parts) >= self._most:
            raise TooLarge(
                f"this form has more than {self._most} parts. Send the pictures in several requests."
            )
        self._parts.append(_Part())
        self._headers.clear()

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._bound()

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._header) + len(self._value) + sum(map(len, self._headers.values())) > HEADER_BYTES:
            raise BadRequest(f"a part of this form has headers of more than {HEADER_BYTES:,} bytes.")

    def _on_header(self) -> None:
        if len(self._headers) >= 8:
            raise BadRequest("a part of this form has more than 8 headers.")
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data":
            raise BadRequest("a part of this form does not say that it is form-data.")
        name = options.get(b"filename") or options.get(b"name") or b""
        self._parts[-1].name = name.decode("utf-8", "replace")[:LONGEST_NAME]

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1].data += data[start:end]

    def _on_end(self) -> None:
        self._ended = True
