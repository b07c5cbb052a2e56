"""Locations of recordings and outputs: paths of files, and addresses of objects in buckets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, TypeAlias

OBJECT_SCHEME = "s3://"


class FileStatus(Protocol):
    """What tells that a file has not changed; an `os.stat_result` has it."""

    @property
    def st_size(self) -> int: ...

    @property
    def st_mtime_ns(self) -> int: ...

    @property
    def st_ctime_ns(self) -> int: ...

    @property
    def st_ino(self) -> int: ...


class ObjectUrl:
    """The address of an object or of a prefix: `s3://bucket/key`.

    It has what is used of a `Path`. A key is any text, and `a//b`, `a/./b` and `a/b` are three.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectUrl) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"ObjectUrl({self.text!r})"

    @property
    def bucket(self) -> str:
        return self.text.removeprefix(OBJECT_SCHEME).partition("/")[0]

    @property
    def key(self) -> str:
        return self.text.removeprefix(OBJECT_SCHEME).partition("/")[2]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        _, dot, ending = self.name.rpartition(".")
        return dot + ending

    @property
    def parent(self) -> ObjectUrl:
        """The prefix that it is below, with the slash at its end."""
        return ObjectUrl(self.text.removesuffix(self.name))

    @property
    def parents(self) -> tuple[ObjectUrl, ...]:
        """The prefixes that it is below, each with the slash at its end and without."""
        slashes = [at for at, char in enumerate(self.text) if char == "/"]
        ends = [end for at in reversed(slashes[OBJECT_SCHEME.count("/") :]) for end in (at + 1, at)]
        return tuple(ObjectUrl(self.text[:end]) for end in ends)

    def absolute(self) -> ObjectUrl:
        return self

    def __str__(self) -> str:
        return self.text

    def __fspath__(self) -> str:
        return self.text


Location: TypeAlias = Path | ObjectUrl


def is_object(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the address of an object or of a prefix."""
    return os.fspath(path).startswith(OBJECT_SCHEME)


def location(path: str | os.PathLike[str]) -> Location:
    """The location that a text names."""
    text = os.fspath(path)
    return ObjectUrl(text) if is_object(text) else Path(text)
