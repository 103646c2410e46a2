"""Staged files → the one stored form. This runs inside the converter's child; `convert.py` is the wall around it."""

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from app.formats import archives
from app.formats.arrays import ArraySource, check_pixels, find_layout, to_images
from app.formats.color import in_color
from app.formats.fit import ModelInputs
from app.formats.idx import open_idx
from app.formats.images import read_images
from app.formats.labels import check_labels, read_labels
from app.formats.limits import Limits
from app.formats.npy import member_keys, open_member, open_npy, open_npz
from app.formats.options import DatasetOptions
from app.formats.pixels import to_stored
from app.formats.sniff import READ, sniff
from app.formats.store_form import StoreWriter
from pinwheel.errors import InvalidDataset, UnsupportedMediaType

FIELDS = ("body", "file", "images", "labels")


@dataclass(frozen=True)
class Request:
    """One conversion: staged files and their given names by field; where to write, and a folder to work in."""

    files: dict[str, list[Path]]
    names: dict[str, list[str]]
    options: DatasetOptions
    target: Path
    scratch: Path
    limits: Limits
    model: ModelInputs | None = None  # of an encode request: its images are brought into this shape

    def to_json(self) -> str:
        return json.dumps(
            {
                "files": {field: [str(path) for path in paths] for field, paths in self.files.items()},
                "names": self.names,
                "options": self.options.model_dump(),
                "target": str(self.target),
                "scratch": str(self.scratch),
                "limits": vars(self.limits),
                "model": self.model,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Request":
        read = json.loads(text)
        return cls(
            {field: [Path(path) for path in paths] for field, paths in read["files"].items()},
            read["names"],
            DatasetOptions(**read["options"]),
            Path(read["target"]),
            Path(read["scratch"]),
            Limits(**read["limits"]),
            read["model"] and ModelInputs(tuple(read["model"][0]), read["model"][1]),
        )

    def named(self) -> dict[str, list[tuple[Path, str]]]:
        """Path and quoted name of each file, by field."""
        return {
            field: [
                (path, repr(name[:200]) if name != field else f"The {field}")
                for path, name in zip(paths, self.names.get(field) or [field] * len(paths), strict=True)
            ]
            for field, paths in self.files.items()
        }


def store(request: Request) -> dict[str, Any]:
    """Convert and give the manifest. Raises `InvalidDataset`, `UnsupportedMediaType` or `PayloadTooLarge`."""
    files = request.named()
    if request.model is not None:
        from app.formats.fitted_store import store_fitted

        return store_fitted(files, request.model, request.target, request.scratch, request.limits)
    _check_fields(files)
    with StoreWriter(request.target, request.limits) as writer:
        if "images" in files:
            return _store_pair(files["images"][0], files["labels"][0] if "labels" in files else None, writer, request)
        [(_, given)] = files.items()
        if len(given) > 1:
            return _store_many(given, writer, request)
        return _store_one(*given[0], writer, request)


def _check_fields(files: dict[str, list[tuple[Path, str]]]) -> None:
    unknown = sorted(set(files) - set(FIELDS))
    if unknown:
        raise InvalidDataset(f"There is no file field {unknown[0]!r}; there are: {', '.join(FIELDS)}.")
    if "images" not in files and "labels" in files:
        raise InvalidDataset("There are labels without images; send both, as the fields images and labels.")
    if not files or ("images" in files and set(files) - {"images", "labels"}) or len(set(files) - {"labels"}) > 1:
        raise InvalidDataset(
            f"Send either files, or images with labels; the fields sent are: {', '.join(files) or 'none'}."
        )
    for field in ("images", "labels", "body"):
        if len(files.get(field, [])) > 1:
            raise InvalidDataset(f"The field {field} holds {len(files[field])} files; 1 is allowed. Send many as file.")


def _store_one(path: Path, name: str, writer: StoreWriter, request: Request) -> dict[str, Any]:
    kind, _ = sniff(path, name)
    if kind in ("zip", "tar"):
        return _store_archive(path, name, writer, request)
    if kind == "npz":
        return _store_npz(path, name, writer, request)
    if kind == "image":
        return _store_many([(path, name)], writer, request)
    if kind in ("parquet", "arrow"):
        from app.formats.table_store import store_table  # pyarrow takes memory that other formats can use

        return writer.finish(*store_table(kind, path, name, writer, request.options, request.limits))
    with open_array(path, name) as source:
        _store_array(source, writer, request)
    return writer.finish()


def _store_many(given: list[tuple[Path, str]], writer: StoreWriter, request: Request) -> dict[str, Any]:
    """Encoded images, one file or more, in the order they were sent."""
    for path, name in given:
        try:
            if sniff(path, name)[0] != "image":
                raise InvalidDataset(f"{name} is no image; of several files each is an image. Read are: {READ}.")
            with path.open("rb") as file:
                images = read_images(file, name, request.options.color, request.limits)
                while (image := next(images, None)) is not None:
                    writer.add(image[None], name)
        except (InvalidDataset, UnsupportedMediaType) as error:
            if request.options.on_bad_file == "fail" or len(given) == 1:
                raise
            writer.skip(name.strip("'"), error.detail)
    return writer.finish()


def _store_archive(path: Path, name: str, writer: StoreWriter, request: Request) -> dict[str, Any]:
    limits = request.limits
    kind, packing = sniff(path, name)
    with ExitStack() as stack:
        if kind == "zip":
            entries = archives.zip_entries(stack.enter_context(archives.open_zip(path, name)), name, limits)
        else:
            plain = _without_gzip(path, name, request) if packing else path
            entries = archives.tar_entries(stack.enter_context(archives.open_tar(plain, name)), name, limits)
        found = archives.store_archive(entries, writer, request.options, limits, archives.Unpacked(limits))
    return writer.finish(*found)


def _without_gzip(path: Path, name: str, request: Request) -> Path:
    """The tar inside, in the folder to work in: its files can then be taken in sorted order."""
    plain = request.scratch / "plain.tar"
    with cast(BinaryIO, gzip.open(path)) as source, plain.open("wb") as target:
        archives.Unpacked(request.limits).copy(source, target, name, path.stat().st_size)
    return plain


def _store_npz(path: Path, name: str, writer: StoreWriter, request: Request) -> dict[str, Any]:
    options = request.options
    with path.open("rb") as file, open_npz(file, name) as archive:
        labelled = options.labels_key in member_keys(archive)
        if not labelled and options.labels_key != DatasetOptions.model_fields["labels_key"].default:
            labelled = True  # a name that was asked for must be there: opening it says what is
        labels_member = open_member(archive, options.labels_key, name) if labelled else None
        with open_member(archive, options.images_key, name) as source, _maybe(labels_member) as labels:
            return _store_labelled(source, labels, writer, request)


def _store_pair(
    images: tuple[Path, str], labels: tuple[Path, str] | None, writer: StoreWriter, request: Request
) -> dict[str, Any]:
    if labels is None and sniff(*images)[0] not in ("idx", "npy"):
        return _store_one(*images, writer, request)
    labels_file = open_array(*labels) if labels else None
    with open_array(*images) as source, _maybe(labels_file) as label_source:
        return _store_labelled(source, label_source, writer, request)


def _store_labelled(
    source: ArraySource, labels: ArraySource | None, writer: StoreWriter, request: Request
) -> dict[str, Any]:
    if labels is not None:
        check_labels(labels, source.shape[0])
    _store_array(source, writer, request)
    return writer.finish(None if labels is None else read_labels(labels, writer.count))


def _store_array(source: ArraySource, writer: StoreWriter, request: Request) -> None:
    layout = find_layout(source.shape, request.options.layout, source.name)
    check_pixels(source, layout, request.limits)
    for first, values in source.rows(request.scratch):
        images = to_images(to_stored(values, first, source.name), layout)
        color = "keep" if layout == "NC" else request.options.color
        writer.add(in_color(images, color), source.name)


@contextmanager
def open_array(path: Path, name: str) -> Iterator[ArraySource]:
    """The array in an IDX (gzip or not) or .npy file; `UnsupportedMediaType` for anything else."""
    kind, packing = sniff(path, name)
    if kind not in ("idx", "npy"):
        raise UnsupportedMediaType(f"{name} is {kind}; images with labels apart are read as IDX or .npy.")
    with cast(BinaryIO, gzip.open(path) if packing else path.open("rb")) as file:
        yield open_idx(file, name) if kind == "idx" else open_npy(file, name)


@contextmanager
def _maybe(source: Any) -> Iterator[ArraySource | None]:
    if source is None:
        yield None
        return
    with source as opened:
        yield opened
