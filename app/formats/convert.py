"""The bounded child that converts an upload: `python -m app.formats.convert REQUEST.json`.

The child limits its own memory (RLIMIT_AS), processor time, file size and life, converts, and prints one line of JSON:
`{"ok": manifest}` or `{"error": {"kind": name of the error's class, "detail": …}}`. Whatever a hostile file does to it,
the server lives on, its memory stays flat, and the target stays as it was.
"""

import asyncio
import json
import logging
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pinwheel
from app.formats.limits import MEBIBYTE, Limits
from app.formats.reading import no_space
from pinwheel.errors import InvalidDataset, PinwheelError, is_full, tree

if TYPE_CHECKING:
    from app.formats.fit import ModelInputs
    from app.formats.options import DatasetOptions
    from pinwheel.settings import Settings

log = logging.getLogger(__name__)

CODE = Path(pinwheel.__file__).parents[1]
# The converter's own needs besides the pixels: headers, and arrays that are twice as wide before they are stored.
FILE_MARGIN = 16 * MEBIBYTE
EXTRA_SECONDS = 5
FULL_CODE = 74  # of a child that cannot even write its answer: sysexits.h, input/output error


async def convert(
    files: dict[str, list[Path]],
    names: dict[str, list[str]],
    options: "DatasetOptions",
    target: Path,
    settings: "Settings",
    model: "ModelInputs | None" = None,
) -> dict[str, Any]:
    """Convert staged files by field (body, file, images, labels) into the folder `target`, and give the manifest.

    With a `model`, the files are the body of an encode request (body, json, image) and its images are brought into
    the model's shape. `names` are the names that the files came under, for messages only. `target` may exist if it is
    empty. Raises `InvalidDataset` (also when the child dies or takes too long), `UnsupportedMediaType` or
    `PayloadTooLarge`. Then, and when the call is cancelled, the child is gone and nothing is left behind.
    """
    from app.formats.stored import Request

    work = _work_folder(target)
    try:
        (work / "stored").mkdir()
        absolute = {field: [path.resolve() for path in paths] for field, paths in files.items()}
        request = Request(absolute, names, options, work / "stored", work, Limits.of(settings), model)
        (work / "request.json").write_text(_with_bounds(request.to_json(), settings))
        manifest = _manifest(await _run(work, settings.convert_seconds), work / "answer")
        (work / "stored").rename(target)
        return manifest
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _work_folder(target: Path) -> Path:
    """A fresh folder beside the target, so that moving what is finished into place is one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="convert-", dir=target.parent.resolve()))


def _with_bounds(request: str, settings: "Settings") -> str:
    bounds = {
        "memory_bytes": settings.convert_memory_bytes,
        "file_bytes": 2 * settings.max_dataset_bytes + FILE_MARGIN,
        "seconds": math.ceil(settings.convert_seconds) + EXTRA_SECONDS,
    }
    return json.dumps({"request": request, "bounds": bounds})


async def _run(work: Path, seconds: float) -> int:
    """Run the child to its end; gives its return code. Raises when it takes too long; it never outlives the call."""
    with (work / "answer").open("wb") as answer:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "app.formats.convert", str(work / "request.json")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=answer,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=work,
            env=_environment(work),
            start_new_session=True,
        )
    try:
        return await asyncio.wait_for(child.wait(), seconds)
    except TimeoutError:
        raise InvalidDataset(
            f"The conversion took longer than {seconds:g} seconds, which is all it may take."
        ) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.shield(child.wait())


def _environment(work: Path) -> dict[str, str]:
    """No secrets of the server; one thread, for threads reserve memory that counts; temporary files inside `work`."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join([str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, **threads, "PYTHONPATH": paths, "TMPDIR": str(work), "PYTHONIOENCODING": "utf-8"}


def _manifest(code: int, answer: Path) -> dict[str, Any]:
    """What the child said, or `InvalidDataset` about how it died."""
    if code == FULL_CODE:
        raise no_space()
    lines = answer.read_text(errors="replace").splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise InvalidDataset(_death(code)) from None
    if "ok" in said:
        manifest: dict[str, Any] = said["ok"]
        return manifest
    kinds: dict[str, type[PinwheelError]] = {kind.__name__: kind for kind in tree()}
    error = said["error"]
    if "trace" in error:
        log.error("the converter failed: %s", error["trace"])
    raise kinds.get(error["kind"], InvalidDataset)(error["detail"])


def _death(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "The conversion used more processor time than it may; the files cannot be read in bounded time."
    how = f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
    return f"The conversion {how} without an answer; the files are damaged, or need more memory than is allowed."


def main(path: str) -> None:
    """The child."""
    read = json.loads(Path(path).read_text())
    bound(**read["bounds"])
    try:
        answer = {"ok": _store(read["request"])}
    except PinwheelError as error:
        answer = {"error": {"kind": type(error).__name__, "detail": error.detail}}
    except MemoryError:
        allowed = read["bounds"]["memory_bytes"]
        detail = f"The conversion needs more memory than the {allowed} bytes it may take."
        answer = {"error": {"kind": "InvalidDataset", "detail": detail}}
    except Exception as error:  # the edge of the process: the parent records it
        if is_full(error):
            sys.exit(FULL_CODE)
        answer = {"error": _unforeseen(error)}
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except OSError as error:  # the answer is a file beside the others
        if is_full(error):
            os._exit(FULL_CODE)  # at its end the interpreter would try once more, and end with a code of its own
        raise


def _store(request: str) -> dict[str, Any]:
    from app.formats.stored import Request, store

    return store(Request.from_json(request))


def _unforeseen(error: Exception) -> dict[str, str]:
    import traceback

    detail = f"The files could not be converted: {type(error).__name__} in the converter."
    return {"kind": "InvalidDataset", "detail": detail, "trace": "".join(traceback.format_exception(error))[-4000:]}


def bound(memory_bytes: int, file_bytes: int, seconds: int) -> None:
    """Limit this process for good. The alarm ends it even when the server that started it is gone."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (value, value))
    signal.alarm(seconds)


if __name__ == "__main__":
    main(sys.argv[1])
