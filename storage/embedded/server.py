"""What every embedded server has: a process, a log, and how it is started and ended."""

import signal
from abc import ABC, abstractmethod
from pathlib import Path

from storage.embedded.process import ServerProcess


class EmbeddedServer(ABC):
    """One server on one data folder; may be started and stopped again and again.

    Reached through a socket in a folder that only this user can enter. It ends by *death_signal*
    when this process dies. Start it in the main thread.
    """

    name: str

    def __init__(self, folder: Path, *, log_path: Path, death_signal: signal.Signals) -> None:
        self.log_path = log_path
        self._folder = folder
        self._process = ServerProcess(self.name, log_path=log_path, death_signal=death_signal)

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is reached; the same over restarts."""

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.exit_code

    @abstractmethod
    async def start(self) -> None:
        """Start it on its folder, new or not; returns once it answers.

        A server of the same folder that was left running is stopped first.

        Raises:
            ServerStartError: it ended or did not answer; its log's end is quoted.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End it in order; bounded: a server that does not obey is killed in the end."""
