"""The bounded child: what it gives back, what it may take, and that it leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upload_files import gray, idx, many, npy, npz, packed, picture, tarred, zipped

from app.formats import convert as converter
from app.formats.convert import convert
from app.formats.options import DatasetOptions
from pinwheel.errors import InvalidDataset, PayloadTooLarge, PinwheelError, StoreUnavailable, UnsupportedMediaType
from pinwheel.settings import MEBIBYTE, Settings


def run(
    folder: Path, files: dict[str, bytes], options: DatasetOptions | None = None, **settings: Any
) -> dict[str, Any]:
    staged = {}
    for field, body in files.items():
        (folder / field).write_bytes(body)
        staged[field] = [folder / field]
    names = {field: [f"my {field}.bin"] for field in files}
    (folder / "out").mkdir()
    return asyncio.run(convert(staged, names, options or DatasetOptions(), folder / "out", Settings(**settings)))


def left(folder: Path, *files: str) -> list[str]:
    """What lies in the folder besides the staged files, at any depth."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return sorted(names - set(files) - {"out"})


def children() -> set[int]:
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return {int(line.split()[0]) for line in found.stdout.splitlines() if "app.formats.convert" in line}


async def child_of(task: asyncio.Task[Any]) -> int:
    while not (seen := children()):
        assert not task.done()
        await asyncio.sleep(0.005)  # another process has no event to wait for
    return seen.pop()


def test_the_child_converts_and_gives_the_manifest(tmp_path: Path) -> None:
    labels = np.arange(7, dtype=np.uint8)
    manifest = run(tmp_path, {"images": packed(idx(many())), "labels": idx(labels)}, DatasetOptions(color="rgb"))
    assert manifest["images"]["shape"] == [5, 4, 3]
    assert manifest["labels"]["classes"] == 7
    assert left(tmp_path, "images", "labels") == ["out/images.npy", "out/labels.npy", "out/manifest.json"]
    assert np.array_equal(np.load(tmp_path / "out" / "images.npy")[..., 0], many())


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"nothing known", UnsupportedMediaType, "'my body.bin' starts with b'nothing '"),
        (npy(many())[:-1], InvalidDataset, "'my body.bin' is cut short"),
        (npy(np.zeros((1, 10, 200), np.uint8)), PayloadTooLarge, "10×200 = 2000 pixels; at most 1000"),
        (zipped({"a.png": picture(gray()), "b": b"x"}), InvalidDataset, "'b' is no image"),
    ],
)
def test_refusals_cross_from_the_child_with_their_class_and_words(
    tmp_path: Path, body: bytes, kind: type[PinwheelError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run(tmp_path, {"body": body}, max_image_pixels=1000)
    assert left(tmp_path, "body") == []


def test_a_conversion_that_takes_too_long_is_ended_and_says_so(tmp_path: Path) -> None:
    body = zipped({f"{number}.png": picture(gray(300, 300, number)) for number in range(60)} | {"a.bmp": b""})
    start = time.monotonic()
    with pytest.raises(InvalidDataset, match=r"took longer than 0.05 seconds"):
        run(tmp_path, {"body": body}, convert_seconds=0.05)
    assert time.monotonic() - start < 5
    assert left(tmp_path, "body") == []
    assert not children()


def test_cancelling_ends_the_child_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(npy(np.zeros((2000, 100, 100), np.uint8)))

    async def cancelled() -> int:
        files = {"body": [tmp_path / "body"]}
        task = asyncio.create_task(convert(files, {}, DatasetOptions(), tmp_path / "new" / "out", Settings()))
        seen = await child_of(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(cancelled())
    assert not children()
    assert left(tmp_path, "body") == ["new"]


def test_a_child_that_needs_too_much_memory_is_a_refusal(tmp_path: Path) -> None:
    wide = npy_of_one_large_image()
    with pytest.raises(InvalidDataset, match=r"more memory than the 268435456 bytes|without an answer"):
        run(tmp_path, {"body": wide}, convert_memory_bytes=256 * MEBIBYTE, max_image_pixels=200_000_000)
    assert left(tmp_path, "body") == []


def npy_of_one_large_image() -> bytes:
    return npy(np.ones((1, 12_000, 12_000), np.uint8))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_child_that_is_killed_is_a_refusal_and_no_error_of_the_server(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "body").write_bytes(npy(np.zeros((2000, 100, 100), np.uint8)))

    async def killed() -> None:
        files = {"body": [tmp_path / "body"]}
        task = asyncio.create_task(convert(files, {}, DatasetOptions(), tmp_path / "out", Settings()))
        os.kill(await child_of(task), number)
        await task

    with pytest.raises(InvalidDataset, match=rf"ended by signal {number.value} \({number.name}\) without an answer"):
        asyncio.run(killed())
    assert left(tmp_path, "body") == []


def test_the_child_is_bounded_in_memory_time_and_file_size_and_dumps_no_core() -> None:
    code = (
        "import resource, signal; from app.formats.convert import bound; bound(3 * 2**30, 10**6, 7);"
        "print([resource.getrlimit(w)[1] for w in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU,"
        "resource.RLIMIT_CORE)], signal.alarm(0))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"[{3 * 2**30}, 1000000, 7, 0] 7"


def test_the_child_gets_no_secret_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINWHEEL_API_KEYS", "secret")
    environment = converter._environment(tmp_path)
    assert not [name for name in environment if name.startswith("PINWHEEL")]
    assert environment["TMPDIR"] == str(tmp_path)


def test_memory_stays_flat_in_the_child_and_in_the_server(tmp_path: Path) -> None:
    """47 MB of images, as many as MNIST has: the child holds a few chunks of them, the server nothing."""
    images = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    body = packed(idx(images))
    (tmp_path / "labels").write_bytes(idx(np.zeros(60_000, np.uint8)))
    (tmp_path / "images").write_bytes(body)
    code = f"""
import asyncio, resource
from pathlib import Path
from app.formats.convert import convert
from app.formats.options import DatasetOptions
from pinwheel.settings import Settings
folder = Path({str(tmp_path)!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
files = {{"images": [folder / "images"], "labels": [folder / "labels"]}}
manifest = asyncio.run(convert(files, {{}}, DatasetOptions(), folder / "out", Settings()))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(manifest["images"]["count"], after - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    count, grown, child = map(int, said.split())
    assert count == 60_000
    assert grown < 16 * 1024
    assert child < 110 * 1024


def test_the_child_starts_fast_and_loads_no_framework() -> None:
    code = "import sys; import app.formats.stored, app.formats.convert; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fastapi", "starlette", "torch", "redis", "celery", "pydantic_settings"} & set(loaded)


def test_every_kind_of_upload_passes_through_the_child(tmp_path: Path) -> None:
    ways = {
        "npz": npz(images=many(), labels=np.zeros(7, int)),
        "npy columns": npy(np.asfortranarray(many().astype(np.float64))),
        "tar.gz": tarred({"a/x.png": picture(gray()), "b/y.png": picture(gray())}, "w:gz"),
        "jpeg": picture(gray(), "JPEG"),
    }
    for way, body in ways.items():
        (tmp_path / way).mkdir()
        manifest = run(tmp_path / way, {"body": body}, convert_memory_bytes=512 * MEBIBYTE)
        assert manifest["images"]["count"] == {"npz": 7, "npy columns": 7, "tar.gz": 2, "jpeg": 1}[way]


def test_a_disk_that_is_full_is_not_taken_for_a_damaged_file(tmp_path: Path) -> None:
    bounds = {"memory_bytes": 2**32, "file_bytes": 2**20, "seconds": 60}
    (tmp_path / "request.json").write_text(json.dumps({"request": "{}", "bounds": bounds}))
    command = [sys.executable, "-P", "-m", "app.formats.convert", str(tmp_path / "request.json")]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.DEVNULL, env=converter._environment(tmp_path))
    assert ended.returncode == converter.FULL_CODE
    (tmp_path / "answer").touch()
    with pytest.raises(StoreUnavailable, match="no space left"):
        converter._manifest(ended.returncode, tmp_path / "answer")
    with pytest.raises(InvalidDataset, match="ended with code 1 without an answer"):
        converter._manifest(1, tmp_path / "answer")
