import errno
import socket

import pytest

from core.runtime.listen import CannotListen, NoSuchAddress, PortInUse, available_port, reserve

ELSEWHERE = "192.0.2.1"  # RFC 5737: nobody's


def test_an_address_of_another_machine_is_told_as_such() -> None:
    with pytest.raises(NoSuchAddress, match=f"{ELSEWHERE} port 0: .*; choose an address that this"):
        available_port(ELSEWHERE, 0)


def test_a_port_that_is_taken_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUse):
        reserve("127.0.0.1", taken.getsockname()[1])


def test_a_machine_without_ipv6_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutIPv6(socket.socket):
        def __init__(self, family: int = -1) -> None:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", WithoutIPv6)

    with pytest.raises(CannotListen, match="::1 port 8080: address family not supported"):
        available_port("::1", 8080)
