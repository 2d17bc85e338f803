"""Looks at the first request of a connection: is it for the stream, or plain HTTP? Pure."""

import enum
from collections.abc import Container
from typing import Final

MAX_HEAD_BYTES: Final = 16_384  # more than this is for aiohttp to refuse, in words
_END: Final = b"\r\n\r\n"


class First(enum.Enum):
    """What the first request is."""

    INCOMPLETE = 1
    STREAM = 2
    HTTP = 3


def sniff(head: bytes, stream_paths: Container[str]) -> First:
    """Judge the bytes that came so far.

    Anything but a complete upgrade request for one of *stream_paths* is HTTP's affair, which
    also answers what is malformed.
    """
    end = head.find(_END)
    if end < 0:
        return First.HTTP if len(head) > MAX_HEAD_BYTES else First.INCOMPLETE
    request_line, *fields = head[:end].decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or words[1].partition("?")[0] not in stream_paths:
        return First.HTTP
    upgrades = any(
        name.strip().lower() == "upgrade" and "websocket" in value.lower()
        for name, _, value in (field.partition(":") for field in fields)
    )
    return First.STREAM if upgrades else First.HTTP
