"""Bodies packed as gzip or deflate (zlib's form of it, RFC 9110 section 8.4.1), in and out; unpacking is bounded."""

import gzip
import zlib

from app.formats.negotiate import qualities
from app.formats.reading import brief
from pinwheel.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
LEAST_PACKED_BYTES = 1024
LEVEL = 1  # features are nearly as small as with level 9, in a fifth of the time


def unpack(body: bytes, encoding: str | None, most_bytes: int) -> bytes:
    """`body` without its Content-Encoding. Never holds more than `most_bytes` and a byte of what it unpacks to.

    Raises `UnsupportedMediaType` for another encoding, `PayloadTooLarge`, and `InvalidRequest` for damaged bytes.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return body
    if name not in WINDOW_BITS:
        raise UnsupportedMediaType(f"Content-Encoding is {name[:100]!r}; there are: {', '.join(WINDOW_BITS)}.")
    reader = zlib.decompressobj(WINDOW_BITS[name])
    try:
        unpacked = reader.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(f"The body is no {name} that can be read: {brief(error)}.") from None
    if len(unpacked) > most_bytes:
        raise PayloadTooLarge(f"The body unpacks to more than {most_bytes} bytes, the most that is allowed.")
    if not reader.eof:
        raise InvalidRequest(
            f"The {name} body is cut short: {len(body)} bytes unpack to {len(unpacked)}, without an end."
        )
    if reader.unused_data:
        raise InvalidRequest(f"The {name} body goes on for {len(reader.unused_data)} bytes after its end.")
    return unpacked


def pack(body: bytes, accepted: str | None) -> tuple[bytes, str | None]:
    """`body` in the coding that Accept-Encoding likes best, and its name; as it is where none is liked."""
    welcome = qualities(accepted or "")
    best = max(WINDOW_BITS, key=lambda name: welcome.get(name, welcome.get("*", 0.0)))
    if len(body) < LEAST_PACKED_BYTES or not welcome.get(best, welcome.get("*", 0.0)):
        return body, None
    if best == "gzip":
        return gzip.compress(body, LEVEL, mtime=0), best
    return zlib.compress(body, LEVEL), best
