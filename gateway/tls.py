"""Certificate: TLS for the port, and a certificate that is renewed while the gateway runs."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

from core.market.errors import TickgateError

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 2.0  # between two looks at the files
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Stamp = tuple[tuple[int, ...], ...]
"""Which state files were in: changes with each of them, and with who may read them."""


class CertificateError(TickgateError):
    """The certificate or its key cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return (
            f"certificate {self.path}: {self.reason}; expected a PEM file with the certificate "
            "and its chain, and its private key in there too or in the file that tls_key names"
        )


class Certificate:
    """What the port shows to clients. Connections that are open keep the one that they got."""

    def __init__(self, certificate: str, key: str = "", *, oldest: str = "1.2") -> None:
        """Read the PEM files *certificate* and *key*; *oldest* is the TLS version, 1.2 or 1.3.

        Raises:
            CertificateError: that does not work.
        """
        self._paths = [Path(path).expanduser() for path in (certificate, key) if path]
        self._oldest = oldest
        self._stamp = self._look()
        self._complaint = ""  # what is wrong with the files, as it was told
        self._newest = self._context()
        self.context = self._newest
        """Of the port; each new connection is moved on to the newest certificate."""
        self.context.sni_callback = self._move_on

    def refresh(self, *, at_once: bool = False) -> bool:
        """Take over files that have changed; False: they have not, or cannot be used.

        *at_once* they are read even if they look as before.
        """
        try:
            stamp = self._look()
            if stamp == self._stamp and not at_once:
                self._complaint = ""
                return False
            self._stamp = stamp  # a file that is wrong is complained of once
            self._newest = self._context()
        except CertificateError as exc:
            if at_once or str(exc) != self._complaint:  # and so is one that is not there
                _LOG.error("the certificate stays as it was: %s", exc)
            self._complaint = str(exc)
            return False
        self._complaint = ""
        _LOG.info("the certificate was read anew")
        return True

    async def run(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.refresh()

    def _move_on(self, connection: ssl.SSLObject, _name: str | None, _port: ssl.SSLContext) -> None:
        """Called at the beginning of each handshake, whether or not it names a host.

        A context keeps a pair for each kind of key: loaded into the one of the port, a certificate
        with a key of another kind would stand beside the old one, and not be shown to all.
        """
        connection.context = self._newest

    def _context(self) -> ssl.SSLContext:
        # Ciphers and the rest are Python's defaults: those of people who follow what is broken.
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = _VERSIONS[self._oldest]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # A key with a password is an error, and no question at the terminal.
            context.load_cert_chain(self._paths[0], self._paths[-1], password=lambda: b"")
        except (OSError, ValueError) as exc:  # the errors of ssl are of the first kind
            raise CertificateError(str(self._paths[0]), str(exc)) from exc

    def _look(self) -> Stamp:
        try:
            states = [path.stat() for path in self._paths]
        except OSError as exc:
            raise CertificateError(str(exc.filename), exc.strerror or str(exc)) from exc
        return tuple((s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_size) for s in states)
