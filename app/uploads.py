"""Uploads on their way to a data set: to disk first, then through the converter, then into the registry."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import Request
from pydantic import ValidationError
from redis.exceptions import ResponseError
from starlette.datastructures import FormData, UploadFile

from app.bodies import json_body, parse_json, save
from app.formats.convert import convert
from app.formats.options import DatasetOptions
from app.forms import read_form
from app.services import Services
from app.stacking import invalid
from pinwheel.builtin import BUILTIN
from pinwheel.errors import InvalidConfig, InvalidDataset, InvalidRequest
from pinwheel.ids import new_id
from pinwheel.specs.builtin import BuiltinRequest
from pinwheel.store.artifacts import RECORD, write_json
from pinwheel.times import timestamp

FILE_FIELDS = ("file", "image", "images", "labels")
OPTION_NAMES = tuple(DatasetOptions.model_fields)


@dataclass
class Upload:
    """Staged files by field, with the names they came under, and the options that came along."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, path: Path, filename: str) -> None:
        self.files.setdefault(name, []).append(path)
        self.names.setdefault(name, []).append(filename)


async def receive(request: Request, folder: Path) -> Upload:
    """Stage the request's body. Raises `InvalidRequest` when it is empty or no proper form."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return await _receive_form(request, folder)
    if media_type == "application/json":
        return _builtin(await json_body(request))
    upload = Upload()
    size = await save(request, folder / "body")
    if size == 0:
        raise InvalidRequest("The body is empty; send a file, multipart files, or JSON that names a built-in data set.")
    upload.add("body", folder / "body", "body")
    return upload


def _builtin(body: Any) -> Upload:
    try:
        asked = BuiltinRequest.model_validate(body)
    except ValidationError as error:
        raise invalid(error, body, BuiltinRequest) from None
    upload = Upload(options={"name": asked.name or asked.source.name} | asked.options)
    upload.add("body", BUILTIN[asked.source.name], asked.source.name)
    return upload


async def _receive_form(request: Request, folder: Path) -> Upload:
    async with read_form(request) as form:
        return await _stage_form(form, folder)


async def _stage_form(form: FormData, folder: Path) -> Upload:
    upload = Upload()
    for number, (name, value) in enumerate(form.multi_items()):
        if not isinstance(value, UploadFile):
            upload.options |= _option(name, value)
            continue
        if name not in FILE_FIELDS:
            raise InvalidRequest(f"There is no file field {name!r}; there are: {', '.join(FILE_FIELDS)}.")
        path = folder / f"part-{number}"
        await anyio.to_thread.run_sync(_copy, value, path)
        upload.add("file" if name == "image" else name, path, value.filename or path.name)
    if not upload.files:
        raise InvalidRequest(f"The form holds no file; its file fields are: {', '.join(FILE_FIELDS)}.")
    return upload


def _option(name: str, value: str) -> dict[str, Any]:
    """One option as a field of its own, or all of them as JSON in the field `options`."""
    if name in OPTION_NAMES:
        return {name: value}
    if name != "options":
        raise InvalidRequest(f"There is no option {name!r}; there are: {', '.join(OPTION_NAMES)}.")
    options = parse_json(value.encode())
    if not isinstance(options, dict):
        raise InvalidRequest(f"options is {value[:80]!r}; it is a JSON object with some of: {', '.join(OPTION_NAMES)}.")
    return options


def _copy(part: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(part.file, file, 1024 * 1024)


def read_options(upload: Upload, request: Request) -> DatasetOptions:
    """Options of the query over those of the form."""
    unknown = [name for name in request.query_params if name not in OPTION_NAMES]
    if unknown:
        raise InvalidConfig(f"There is no option {unknown[0]!r}; there are: {', '.join(OPTION_NAMES)}.")
    given = upload.options | dict(request.query_params)
    try:
        return DatasetOptions.model_validate(given)
    except ValidationError as error:
        raise invalid(error, given, DatasetOptions) from None


async def create(request: Request, services: Services) -> tuple[dict[str, Any], bool]:
    """The data set's record, and whether it is new. Nothing stays behind when it is refused."""
    with services.artifacts.staged() as folder:
        upload = await receive(request, folder)
        options = read_options(upload, request)
        target = folder / "stored"
        target.mkdir()
        manifest = await convert(upload.files, upload.names, options, target, services.settings)
        if manifest["images"]["count"] == 0:
            raise InvalidDataset("The upload holds no image.")
        return await anyio.to_thread.run_sync(_register, services, target, manifest, options.name)


def _register(
    services: Services, stored: Path, manifest: dict[str, Any], name: str | None
) -> tuple[dict[str, Any], bool]:
    dataset_id = new_id("ds")
    record = {"id": dataset_id, "name": name, "status": "ready", **manifest, "created_at": timestamp()}
    write_json(stored / RECORD, record)
    services.artifacts.adopt(stored, services.artifacts.dataset(dataset_id))
    try:
        kept = services.datasets.add(record)
    except ResponseError:  # the store refused: the record was not written
        services.artifacts.remove(services.artifacts.dataset(dataset_id))
        raise
    if kept["id"] != dataset_id:
        services.artifacts.remove(services.artifacts.dataset(dataset_id))
    return kept, kept["id"] == dataset_id
