"""Bodies made to do harm, in every format of an encode request: a 4xx, flat memory, and the next one is answered."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import psutil
import pyarrow as pa
import pytest
from asking import npy, npz
from PIL import Image

from pinwheel.up import Service

HERE = "/v1/models/digits-36/encode"
DIGIT = np.zeros((28, 28), np.uint8)
MEBIBYTE = 2**20


def picture(array: Any, format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(out, format)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


def stream(column: Any, **options: Any) -> bytes:
    table = pa.table({"image": column})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return out.getvalue()


def vectors(values: np.ndarray) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 784)


def saying(shape: str, descr: str = "|u1", data: bytes = b"") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def png_saying(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10**6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp_saying(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def crowded_zip(entries: int) -> bytes:
    """A directory of very many entries, with long names, without one file."""
    entry = (
        b"PK\x01\x02"
        + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 0, 0, 0, 0, 0)
        + b"x" * 1000
    )
    directory = entry * entries
    end = struct.pack("<HHHHIIH", 0, 0, entries & 0xFFFF, entries & 0xFFFF, len(directory), 4, 0)
    return b"PK\x03\x04" + directory + b"PK\x05\x06" + end


def flipped(body: bytes, at: int, value: int) -> bytes:
    return body[:at] + bytes([value]) + body[at + 1 :]


CASES: dict[str, tuple[bytes, str]] = {
    # images
    "truncated PNG": (picture(DIGIT)[:40], "image/png"),
    "truncated JPEG": (picture(DIGIT, "JPEG")[:200], "image/jpeg"),
    "truncated WebP": (picture(DIGIT, "WEBP")[:20], "image/webp"),
    "truncated TIFF": (picture(DIGIT, "TIFF")[:60], "image/tiff"),
    "truncated BMP": (picture(DIGIT, "BMP")[:60], "image/bmp"),
    "PNG of 60 000 × 60 000": (png_saying(60_000, 60_000), "image/png"),
    "PNG that lies": (png_saying(28, 28_000), "image/png"),
    "BMP of 2³¹ − 1": (bmp_saying(2**31 - 1, 2**31 - 1), "image/bmp"),
    "GIF": (b"GIF89a" + bytes(100), "image/gif"),
    "PNG of another size": (picture(np.zeros((29, 28), np.uint8)), "image/png"),
    # arrays
    "truncated npy": (npy(DIGIT[None])[:-1], "application/x-npy"),
    "npy of nothing": (saying("(0, 28, 28)"), "application/x-npy"),
    "npy of 2⁶² images": (saying(f"({2**62}, 28, 28)"), "application/x-npy"),
    "npy of negative images": (saying("(-1, 28, 28)"), "application/x-npy"),
    "npy of many axes": (saying("(1,) * 60"), "application/x-npy"),
    "npy of objects": (saying("(1, 28, 28)", "|O", bytes(10_000)), "application/x-npy"),
    "npy of text": (saying("(1, 28, 28)", "<U8", bytes(28 * 28 * 32)), "application/x-npy"),
    "npy of dates": (npy(np.zeros((1, 28, 28), "M8[s]")), "application/x-npy"),
    "npy of complex numbers": (npy(np.zeros((1, 28, 28), complex)), "application/x-npy"),
    "npy of NaN": (npy(np.full((1, 28, 28), np.nan)), "application/x-npy"),
    "npy beyond float32": (npy(np.full((1, 28, 28), 1e300)), "application/x-npy"),
    "npy with code": (saying("__import__('os').system('true')"), "application/x-npy"),
    "truncated npz": (npz(images=DIGIT[None])[:-30], "application/x-npz"),
    "npz of two arrays without images": (npz(a=DIGIT[None], b=DIGIT), "application/x-npz"),
    "npz of NaN": (npz(images=np.full((1, 28, 28), np.nan)), "application/x-npz"),
    "npz of an array that lies": (zipped({"images.npy": saying("(9, 28, 28)")}), "application/x-npz"),
    "npz of too many bytes": (zipped({"images.npy": saying("(10000000, 784)")}), "application/x-npz"),
    # archives
    "empty zip": (zipped({}), "application/zip"),
    "zip of text": (zipped({"a.txt": b"abc"}), "application/zip"),
    "zip in a zip": (zipped({"a.zip": zipped({"a.png": picture(DIGIT)})}), "application/zip"),
    "zip that climbs": (zipped({"../a.png": picture(DIGIT)}), "application/zip"),
    "zip bomb": (zipped({"a.bmp": bmp_saying(4000, 4000) + bytes(400 * MEBIBYTE)}), "application/zip"),
    "zip of a truncated image": (zipped({"a.png": picture(DIGIT)[:40]}), "application/zip"),
    "zip of many long names": (crowded_zip(11_000), "application/zip"),
    "truncated zip": (zipped({"a.png": picture(DIGIT)})[:-10], "application/zip"),
    # tables
    "truncated Arrow": (stream(vectors(DIGIT))[:300], "application/vnd.apache.arrow.stream"),
    "Arrow schema alone": (stream(vectors(DIGIT).slice(0, 0)), "application/vnd.apache.arrow.stream"),
    "Arrow that says 2 GiB": (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(64), "application/vnd.apache.arrow.stream"),
    "Arrow of text": (stream(pa.array(["x.png"])), "application/vnd.apache.arrow.stream"),
    "Arrow of NaN": (stream(vectors(np.full(784, np.nan))), "application/vnd.apache.arrow.stream"),
    "Arrow of another size": (stream(pa.array([[1.0, 2.0]])), "application/vnd.apache.arrow.stream"),
    "Arrow bomb": (
        stream(vectors(np.zeros(784 * 100_000)), compression="zstd"),
        "application/vnd.apache.arrow.stream",
    ),
    "Arrow with a bit flipped": (flipped(stream(vectors(DIGIT)), 40, 255), "application/vnd.apache.arrow.stream"),
    "Parquet": (b"PAR1" + bytes(100) + b"PAR1", "application/vnd.apache.parquet"),
    # JSON
    "truncated JSON": (b'{"inputs": [', "application/json"),
    "deep JSON": (b'{"inputs": ' + b"[" * 100_000, "application/json"),
    "NaN in JSON": (b'{"inputs": [{"array": [[NaN]]}]}', "application/json"),
    "JSON of a huge number": (b'{"inputs": [{"array": [[1' + b"0" * 4000 + b"]]}]}", "application/json"),
    "JSON of ragged rows": (b'{"inputs": [{"array": [[1], [1, 2]]}]}', "application/json"),
    "JSON beyond its limit": (b'{"inputs": [' + b" " * (5 * MEBIBYTE) + b"]}", "application/json"),
    "JSON of no base64": (b'{"inputs": ["data:image/png;base64,!"]}', "application/json"),
    "JSON url that is none": (b'{"inputs": ["file:///etc/passwd"]}', "application/json"),
    "no format": (b"\x00" * 1000, "application/octet-stream"),
    "nothing": (b"", ""),
    # forms
    "form without a boundary": (b"--x\r\n", "multipart/form-data"),
    "form cut short": (b'--x\r\nContent-Disposition: form-data; name="image"', "multipart/form-data; boundary=x"),
    "form of text": (
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
    ),
    "form without an image": (b"--x--\r\n", "multipart/form-data; boundary=x"),
}


# Each of these starts a child.
AS_JOBS = ("truncated JPEG", "npy of 2⁶² images", "zip bomb", "Arrow bomb", "Arrow that says 2 GiB", "form cut short")


@pytest.fixture(scope="module")
def flat(service: Service, http: httpx2.Client, trained: dict[str, Any]) -> Iterator[None]:
    """Neither the server nor the encode worker is another process, or much larger, when all is done."""
    http.post(HERE, content=npy(DIGIT[None]))
    processes = {name: psutil.Process(service.pids[name]) for name in ("api", "encode-1")}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    yield
    for name, process in processes.items():
        assert service.pids[name] == process.pid
        assert process.memory_info().rss - before[name] < 150 * MEBIBYTE, name


@pytest.mark.parametrize(
    ("case", "prefer"), [(case, "") for case in CASES] + [(case, "respond-async") for case in AS_JOBS]
)
def test_a_hostile_body_is_refused_and_the_next_request_answered(
    http: httpx2.Client, flat: None, case: str, prefer: str
) -> None:
    body, media_type = CASES[case]
    answer = http.post(HERE, content=body, headers={"Content-Type": media_type, "Prefer": prefer})
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert http.post(HERE, content=npy(DIGIT[None])).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        *("topk=-1", "topk=0", "topk=37", "topk=x", "topk=1.5", "topk=" + "9" * 400),
        *("threshold=-1e-9", "threshold=nan", "threshold=inf", "threshold=1e400", "threshold=x"),
        *("dtype=float64", "dtype=", "sparse=yes", "layer=-1", "layer=1", "layer=" + "9" * 400),
        *("passes=0", "passes=201", "passes=-1", "format=npy&sparse=true", "top_k=3", "pool=none&x=1"),
    ],
)
def test_absurd_parameters_are_refused(http: httpx2.Client, trained: dict[str, Any], query: str) -> None:
    answer = http.post(f"{HERE}?{query}", content=npy(DIGIT[None]))
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_config"


def test_a_threshold_above_every_number_keeps_nothing(http: httpx2.Client, trained: dict[str, Any]) -> None:
    for threshold in ("1e39", "1e308"):
        answer = http.post(f"{HERE}?threshold={threshold}&format=json", content=npy(DIGIT[None] + 9))
        assert answer.status_code == 200, answer.text
        assert not np.any(json.loads(answer.content)["data"])


def test_the_other_operations_refuse_them_too(http: httpx2.Client, flat: None) -> None:
    for case in ("PNG of 60 000 × 60 000", "zip bomb", "Arrow bomb", "npy of 2⁶² images", "zip of many long names"):
        body, media_type = CASES[case]
        for operation in ("reconstruct", "classify"):
            answer = http.post(f"/v1/models/digits-36/{operation}", content=body, headers={"Content-Type": media_type})
            assert answer.status_code == 413, (case, answer.text)
