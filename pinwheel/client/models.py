"""A published model as the client sees it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.client.bodies import Body, Images, image_body, read_features, read_npy
from pinwheel.client.connection import AsyncConnection, Connection, Link
from pinwheel.client.downloads import saved
from pinwheel.client.events import EventStream
from pinwheel.client.jobs import fetch_filters
from pinwheel.client.notebook import card, quietly
from pinwheel.client.steps import Awaited, Blocking, Steps, Tell, Work, operation
from pinwheel.errors import PinwheelError


@dataclass(frozen=True)
class Classification:
    """`probabilities` (N, classes) of each image, and for each the most probable of `classes`."""

    classes: list[Any]
    probabilities: NDArray[np.float64]
    predictions: list[Any]


class ModelMethods:
    """One version of a model. Images are an array (N, H, W, C), (N, H, W) or (N, inputs), a file's bytes or path, a PIL
    image, or a list of such files or images.
    """

    _connection: Link
    record: dict[str, Any]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    @property
    def id(self) -> str:
        """`name@version`: what this object talks about, even when a newer version comes."""
        return f"{self.name}@{self.version}"

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def version(self) -> int:
        return int(self.record["version"])

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """What the features of one image are: (units,), or (rows, columns, units) where they lie over the image."""
        return tuple(self.record.get("feature_shape") or [self.record["units"]])

    @operation
    def encode(self, /, images: Images, *, sparse: bool = False, **options: Any) -> Steps[Any]:
        """Features (N, features): an array, or with `sparse` a scipy CSR matrix.

        One row for each image; `features.reshape(-1, *model.feature_shape)` is an array with a place for each of them.
        `options`: topk, threshold, dtype, passes, layer (of a stack, from 0), pool and stride (of images larger than a
        patch). Of more images than one answer holds the service makes a job, whose end this waits for.
        """
        if not sparse:
            return read_npy((yield from self._post("encode", images, format="npy", **options)))
        content = yield from self._post("encode", images, format="npz", sparse="true", **options)
        return (yield Work(partial(read_features, content)))

    @operation
    def encode_npz(self, /, images: Images, *, sparse: bool = True, **options: Any) -> Steps[bytes]:
        """The same as the bytes of an .npz file; a sparse one is what `scipy.sparse.load_npz` reads."""
        return self._post("encode", images, format="npz", sparse="true" if sparse else "false", **options)

    @operation
    def encode_bytes(self, /, images: Images, format: str = "npy", **options: Any) -> Steps[bytes]:
        """The features as the bytes of a file: json, npy, npz, arrow, parquet or safetensors. `options` as in `encode`,
        and sparse (`true`, `false`, `auto`)."""
        return self._post("encode", images, format=format, **options)

    @operation
    def reconstruct(
        self, images: Images, passes: int | None = None, layer: int | None = None
    ) -> Steps[NDArray[np.float32]]:
        """What the code keeps of each image, (N, H, W, C): that of the top layer, or of another, from 0."""
        return read_npy((yield from self._post("reconstruct", images, format="npy", passes=passes, layer=layer)))

    @operation
    def classify(self, images: Images, passes: int | None = None) -> Steps[Classification]:
        """Needs a model that was trained with labels."""
        body: Body = yield Work(partial(image_body, images))
        answer = yield from self._connection.json(
            "POST", f"{self._path}/classify", params=_given(format="json", passes=passes), body=body
        )
        return Classification(answer["classes"], np.asarray(answer["probabilities"]), answer["predictions"])

    @operation
    def filters(self, /, format: str = "png", **view: Any) -> Steps[Any]:
        """All filters: bytes of a picture, an array (units, H, W, C) for npy, a dict for json.

        `view`: cols, scale, pad, normalize, order, kind, layer.
        """
        return fetch_filters(self._connection, self._path, format, view)

    @operation
    def filter(self, /, unit: int, format: str = "json", **view: Any) -> Steps[Any]:
        """One filter: a dict for json, bytes of a picture (png, webp, svg), an array (H, W, C) for npy.

        `view`: kind, layer, scale, normalize, nearest.
        """
        return fetch_filters(self._connection, self._path, format, view, f"/{unit}")

    @operation
    def patches(self, /, unit: int, format: str = "npy", **view: Any) -> Steps[Any]:
        """The inputs that drive a unit most, strongest first: an array (k, h, w, c) uint8 for npy, bytes of a mosaic
        (png, webp), for json a dict with their rows in the data set, places and activations.

        `view`: count, layer, cols, scale, pad.
        """
        return fetch_filters(self._connection, self._path, format, view, f"/{unit}/patches")

    @operation
    def map(self, kind: str, format: str = "png", layer: int | None = None, unit: int | None = None) -> Steps[Any]:
        """A map of the model's units (`topography`, `tree`, …): bytes of a png or svg, a dict for json.

        `unit`: what the map `units` has of one alone.
        """
        params = _given(format=format, layer=layer, unit=unit)
        answer = yield from self._connection.send("GET", f"{self._path}/maps/{kind}", params=params)
        return answer.json() if format == "json" else answer.content

    @operation
    def weights(self, /, path: str | Path, format: str = "safetensors", **options: Any) -> Steps[Path]:
        """Write the model's tensors to `path`, as safetensors or npz, or its encoder as onnx, from images to features.

        `options` of onnx: topk, layer, pixels (`float32`, `uint8`). An older file there stays if this fails.
        """
        return saved(self._connection, f"{self._path}/weights", _given(format=format, **options), Path(path))

    @operation
    def delete(self) -> Steps[None]:
        yield from self._connection.send("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/v1/models/{self.id}"

    def _post(self, operation: str, images: Images, **params: Any) -> Steps[bytes]:
        # Without an Idempotency-Key: the answer follows from the images, and the server would store it for a day.
        body: Body = yield Work(partial(image_body, images))
        answer = yield from self._connection.send(
            "POST", f"{self._path}/{operation}", params=_given(**params), body=body
        )
        if answer.status_code == 202:  # more than one answer holds: the service made a job of it
            return (yield from self._result(f"/v1/jobs/{answer.json()['id']}"))
        return answer.content

    def _result(self, job: str) -> Steps[bytes]:
        """What the job at this path gives in the end."""
        yield from EventStream(self._connection, job, 0, None).each(partial(Tell, lambda _: None))
        record = yield from self._connection.json("GET", job)
        if record["status"] != "succeeded":
            raise PinwheelError(f"{record['id']} {record['status']}: {record['error']}")
        return (yield from self._connection.send("GET", f"{job}/result")).content

    def _card(self, picture: bytes | None = None) -> str:
        rows = {
            "recipe": self.record.get("recipe"),
            "features": " × ".join(map(str, self.feature_shape)),
            "job": self.record.get("job"),
            **(self.record.get("metrics") or {}),
        }
        return card(f"Model {self.id}", rows, picture)


class Model(ModelMethods, Blocking):
    __doc__ = ModelMethods.__doc__

    def __init__(self, connection: Connection, record: dict[str, Any]) -> None:
        self._connection: Connection = connection
        self.record = record

    def _repr_html_(self) -> str:
        return self._card(quietly(lambda: self.filters(order="usage", scale=1)))


class AsyncModel(ModelMethods, Awaited):
    """A `Model` whose methods are awaited."""

    def __init__(self, connection: AsyncConnection, record: dict[str, Any]) -> None:
        self._connection: AsyncConnection = connection
        self.record = record

    def _repr_html_(self) -> str:
        return self._card()


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
