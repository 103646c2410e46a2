"""Packed bodies: what comes out is what went in, and unpacking is bounded."""

import gzip
import tracemalloc
import zlib

import pytest

from app.formats.compression import pack, unpack
from pinwheel.errors import PayloadTooLarge, UnsupportedMediaType

BODY = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (None, None),
        ("", None),
        ("br, zstd", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0", None),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
    ],
)
def test_an_answer_is_packed_as_the_client_likes_and_unpacks_to_itself(
    accepted: str | None, encoding: str | None
) -> None:
    packed, chosen = pack(BODY, accepted)
    assert chosen == encoding
    assert unpack(packed, chosen, len(BODY)) == BODY


def test_a_small_answer_is_not_packed() -> None:
    assert pack(b"x" * 1023, "gzip") == (b"x" * 1023, None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_without_unpacking_it(encoding: str) -> None:
    packed = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(64 * 2**20))
    tracemalloc.start()
    with pytest.raises(PayloadTooLarge, match="1048576"):
        unpack(packed, encoding, 2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert unpack(gzip.compress(BODY), "GZIP", len(BODY)) == BODY
    with pytest.raises(PayloadTooLarge):
        unpack(gzip.compress(BODY), "gzip", len(BODY) - 1)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(UnsupportedMediaType, match=r"'zstd'.*gzip"):
        unpack(BODY, "zstd", 10)
