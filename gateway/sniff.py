"""Looks at the first request of a connection: is it for the stream, or plain HTTP? Pure."""

import enum
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

MAX_HEAD_BYTES: Final = 16_384  # more than this is for aiohttp to refuse, in words
_END: Final = b"\r\n\r\n"
_NO_TEXT: Final = re.compile(rb"[\r\n]*[^ -~\r\n]")


class First(enum.Enum):
    """What the first request is, when it is no upgrade to the stream."""

    INCOMPLETE = 1
    HTTP = 3


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to open the stream, read just far enough to refuse it cheaply."""

    method: str
    target: str
    version: str
    fields: dict[str, str]  # by name in lower case; of one that came twice: joined by ", "

    @classmethod
    def of(cls, words: tuple[str, str, str], fields: Iterable[tuple[str, str]]) -> "Upgrade":
        """That of a request line in *words* and header *fields* as they came."""
        found: dict[str, str] = {}
        for raw_name, value in fields:
            name = raw_name.strip().lower()
            if name in found:
                found[name] += f", {value.strip()}"
            else:
                found[name] = value.strip()
        return cls(*words, found)


def sniff(head: bytes, stream_paths: Container[str]) -> First | Upgrade:
    """Judge the bytes that came so far.

    Anything but a complete upgrade request for one of *stream_paths* is HTTP's affair, which
    also answers what is malformed: at once where it is no text, such as the beginning of TLS.
    """
    if _NO_TEXT.match(head):
        return First.HTTP  # the end of a head would never come
    end = head.find(_END)
    if end < 0:
        return First.HTTP if len(head) > MAX_HEAD_BYTES else First.INCOMPLETE
    request_line, *lines = head[:end].decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or words[1].partition("?")[0] not in stream_paths:
        return First.HTTP
    fields = [line.partition(":")[::2] for line in lines]
    upgrade = Upgrade.of((words[0], words[1], words[2]), fields)
    return upgrade if "websocket" in upgrade.fields.get("upgrade", "").lower() else First.HTTP
