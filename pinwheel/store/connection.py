"""Connections to Redis or Valkey. Two kinds: commands answer soon, blocking reads wait as long as they like.

redis-py 8 ends every read after 5 s by default, blocking ones too (see docs/decisions/0002-redis.md); hence two pools.
"""

from typing import Any

import redis
import redis.asyncio
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

# redis-py types each answer as a union over `decode_responses`; ours are bytes always, which a type cannot say.
Client = Any
AsyncClient = Any

COMMAND_SECONDS = 5.0
# The store is away or loading (a ConnectionError), or it refuses to write: its memory is full (`noeviction`), its disk
# is (MISCONF, a ResponseError without a name of its own), or it is a replica. Asking again later may work.
UNREACHABLE = (
    RedisConnectionError,
    RedisTimeoutError,
    redis.exceptions.ResponseError,
)


def connect(url: str, seconds: float = COMMAND_SECONDS, retries: int = 3) -> Client:
    """A client for commands from threads; answers are bytes. Each try takes so many `seconds` at most."""
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        health_check_interval=25,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries),
    )


def connect_async(url: str) -> AsyncClient:
    """A client for commands on an event loop; waits for a free connection instead of failing."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=50, timeout=COMMAND_SECONDS, socket_timeout=COMMAND_SECONDS
    )
    return redis.asyncio.Redis(connection_pool=pool)


def connect_blocking(url: str) -> Client:
    """A client for blocking reads from a thread."""
    return redis.Redis.from_url(url, socket_timeout=None, socket_connect_timeout=COMMAND_SECONDS)


def connect_blocking_async(url: str) -> AsyncClient:
    """A client for blocking reads on an event loop."""
    return redis.asyncio.Redis.from_url(url, socket_timeout=None, socket_connect_timeout=COMMAND_SECONDS)


def broker_url(url: str) -> str:
    """The same server as kombu spells it: a Unix socket is `redis+socket://` there."""
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url
