"""A message put together from its frames; text is checked frame by frame. Pure."""

import codecs

_UTF8 = codecs.getincrementaldecoder("utf-8")


class Assembly:
    """The frames of one message as they come. Bounded by the protocol core's largest message.

    Its bytes are kept, not its frames: a client may send it in pieces of one byte or none.
    """

    __slots__ = ("_decoder", "_received", "binary")

    def __init__(self, *, binary: bool) -> None:
        self.binary = binary
        self._received = bytearray()
        self._decoder = None if binary else _UTF8()

    def add(self, part: bytes, *, last: bool) -> None:
        """Take in the next frame's content.

        Raises:
            UnicodeDecodeError: the text up to here is not the beginning of any UTF-8 text, or with
                the *last* frame no whole one.
        """
        self._received += part
        if self._decoder is not None:
            self._decoder.decode(part, final=last)

    def payload(self) -> bytes:
        """The whole message."""
        return bytes(self._received)
