"""multipart/form-data (RFC 7578) as file uploads use it."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from urllib.parse import unquote


class BadFormError(ValueError):
    """The body is no multipart/form-data."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form. `filename` is None for a plain field."""

    name: str
    filename: str | None
    content_type: str
    data: bytes

    @property
    def text(self) -> str:
        """A plain field's value."""
        return self.data.decode("utf-8", "replace")


def parse_form(content_type: str, body: bytes | bytearray) -> list[Part]:
    """The parts of a form in order.

    Raises:
        BadFormError: with what is wrong with it.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise BadFormError("Content-Type is not multipart/form-data with a boundary")
    delimiter = b"--" + boundary.encode("latin-1")
    if not body.startswith(delimiter):
        raise BadFormError("the body does not begin with its boundary")
    parts = []
    at = len(delimiter)
    while not body.startswith(b"--", at):
        # Past the line end that closes the delimiter's own line.
        end = body.find(b"\r\n" + delimiter, at + 2)
        blank = body.find(b"\r\n\r\n", at)
        if end < 0 or blank < 0 or blank > end:
            raise BadFormError("the form breaks off")
        parts.append(_part(bytes(body[at + 2 : blank + 2]), bytes(body[blank + 4 : end])))
        at = end + 2 + len(delimiter)
    return parts


def _part(head: bytes, data: bytes) -> Part:
    headers = BytesHeaderParser().parsebytes(head)
    name = headers.get_param("name", header="Content-Disposition")
    if headers.get_content_disposition() != "form-data" or not isinstance(name, str):
        raise BadFormError("a part has no name")
    filename = headers.get_filename()
    # Browsers and httpx write quotes and line ends in names as %22 and %0D%0A (WHATWG, 4.10.22.8).
    return Part(
        unquote(name),
        None if filename is None else unquote(filename),
        headers.get_content_type(),
        data,
    )
