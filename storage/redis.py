"""Connections to Redis or Valkey: bounded, without silent retries, errors in one type.

redis-py's defaults retry ten times in silence, which hides a dead server for a minute and can
repeat a command that is not idempotent. Here every exchange happens once or raises.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from storage.errors import StreamUnavailable

Argument = bytes | str | int
Command = Sequence[Argument]
Reply = Any  # what the server sent, undecoded; a ResponseError where it refused


def connect(
    url: str,
    *,
    command_timeout_s: float = 1.0,
    connect_timeout_s: float = 1.0,
    max_connections: int = 8,
) -> Redis:
    """A client of the server at *url*; connects when it is first used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database.
        command_timeout_s: bound of each exchange, connecting included.
        connect_timeout_s: bound of connecting alone.
        max_connections: who finds all of them busy waits, at most *command_timeout_s*.

    Raises:
        ValueError: *url* has another scheme or ill-formed options.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=command_timeout_s,
        socket_timeout=command_timeout_s,
        socket_connect_timeout=connect_timeout_s,
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # replies are plain lists, and no handshake for maintenance notifications
        decode_responses=False,
    )
    return Redis.from_pool(pool)


def url_problem(url: str) -> str:
    """Why no server can be looked for at *url*, or an empty string; connects to nothing."""
    try:
        pool: Any = connect(url).connection_pool
        pool.make_connection()
    except (ValueError, TypeError) as exc:  # TypeError: an option that a connection has not
        reason = str(exc).rpartition("__init__() ")[2]
        return reason.replace("got an unexpected keyword argument", "there is no option")
    return ""


def server_of(redis: Redis) -> str:
    """The address of *redis* without its secrets, for messages."""
    options = redis.connection_pool.connection_kwargs
    path = options.get("path")
    address = path or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"{address}/{options.get('db', 0)}"


def mask_url(url: str) -> str:
    """*url* with its password hidden."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@", 1) if password else url


async def exchange(redis: Redis, commands: Sequence[Command]) -> list[Reply]:
    """Send *commands* in one go and read their replies; nothing is sent twice.

    Each reply stands at its command's place; a refused command's is its ``ResponseError``. A
    connection whose exchange was cut, timed out or cancelled is dropped, never reused.

    Raises:
        StreamUnavailable: the server is away or did not answer in time; which of the commands
            it carried out is unknown.
    """
    return await _bounded(redis, _exchange(redis, commands))


async def _bounded(redis: Redis, work: Coroutine[Any, Any, list[Reply]]) -> list[Reply]:
    """Do *work* in time, with errors of one type."""
    timeout_s: float = redis.connection_pool.connection_kwargs["socket_timeout"]
    task = asyncio.current_task()
    cancelled = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(timeout_s):
            replies = await work
    except TimeoutError as exc:
        raise StreamUnavailable(server_of(redis), f"no answer within {timeout_s:g} s") from exc
    except (RedisError, OSError) as exc:
        raise StreamUnavailable(server_of(redis), _reason(exc)) from exc
    if task and task.cancelling() > cancelled:
        # The client library waits with asyncio.wait_for, which in Python 3.11 swallows a
        # cancellation that comes together with the result.
        raise asyncio.CancelledError
    return replies


class Held:
    """A connection that one task keeps for good: half of a command's cost is asking a pool.

    It is made when it is first used, and again after an error.
    """

    def __init__(self, redis: Redis) -> None:
        """Of the pool of *redis*, which must have one to spare."""
        self._redis = redis
        self._connection: AbstractConnection | None = None

    async def command(self, packed: bytes) -> Reply:
        """Send one command, as the protocol writes it, and return its reply.

        Raises:
            StreamUnavailable: as :func:`command`.
        """
        (reply,) = await _bounded(self._redis, self._command(packed))
        if isinstance(reply, ResponseError):
            raise refusal(self._redis, reply)
        return reply

    async def close(self) -> None:
        """Give the connection back; it may be used again."""
        if self._connection is not None:
            pool: Any = self._redis.connection_pool
            connection, self._connection = self._connection, None
            await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def _command(self, packed: bytes) -> list[Reply]:
        if self._connection is None:
            pool: Any = self._redis.connection_pool  # its methods are not annotated
            self._connection = await pool.get_connection()
        try:
            await self._connection.send_packed_command(packed)
            return [await _reply(self._connection)]
        except BaseException:
            await self.close()
            raise


def packed_strings(texts: Sequence[str]) -> bytes:
    """*texts* as parts of a packed command, whose number stands before all of them."""
    return "".join([f"${len(text.encode())}\r\n{text}\r\n" for text in texts]).encode()


async def command(redis: Redis, *arguments: Argument) -> Reply:
    """Send one command and return its reply.

    Raises:
        StreamUnavailable: as :func:`exchange`, or the server refused the command.
    """
    (reply,) = await exchange(redis, [arguments])
    if isinstance(reply, ResponseError):
        raise refusal(redis, reply)
    return reply


def refusal(redis: Redis, reply: ResponseError) -> StreamUnavailable:
    """The error for a refused command."""
    return StreamUnavailable(server_of(redis), f"refused: {reply}")


async def _exchange(redis: Redis, commands: Sequence[Command]) -> list[Reply]:
    pool: Any = redis.connection_pool  # its methods are not annotated
    connection: AbstractConnection = await pool.get_connection()
    try:
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await _reply(connection) for _ in commands]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _reply(connection: AbstractConnection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as exc:
        return exc


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
