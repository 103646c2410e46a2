"""A published model as the client sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.client.bodies import Images, image_body, read_features, read_npy
from pinwheel.client.connection import Connection
from pinwheel.client.jobs import Job, fetch_filters
from pinwheel.errors import PinwheelError


@dataclass(frozen=True)
class Classification:
    """`probabilities` (N, classes) of each image, and for each the most probable of `classes`."""

    classes: list[Any]
    probabilities: NDArray[np.float64]
    predictions: list[Any]


class Model:
    """One version of a model. Images are an array (N, H, W, C), (N, H, W) or (N, inputs), a file's bytes or path, or a
    list of those.
    """

    def __init__(self, connection: Connection, record: dict[str, Any]) -> None:
        self._connection = connection
        self.record = record

    def __repr__(self) -> str:
        return f"<Model {self.id}>"

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

    def encode(self, images: Images, *, sparse: bool = False, **options: Any) -> Any:
        """Features (N, features): an array, or with `sparse` a scipy CSR matrix.

        One row for each image; `features.reshape(-1, *model.feature_shape)` is an array with a place for each of them.
        `options`: topk, threshold, dtype, passes, layer (of a stack, from 0). Of more images than one answer holds the
        service makes a job, whose end this waits for.
        """
        if sparse:
            return read_features(self.encode_npz(images, sparse=True, **options))
        return read_npy(self._post("encode", images, format="npy", **options))

    def encode_npz(self, images: Images, *, sparse: bool = True, **options: Any) -> bytes:
        """The same as the bytes of an .npz file; a sparse one is what `scipy.sparse.load_npz` reads."""
        return self._post("encode", images, format="npz", sparse="true" if sparse else "false", **options)

    def reconstruct(self, images: Images, passes: int | None = None, layer: int | None = None) -> NDArray[np.float32]:
        """What the code keeps of each image, (N, H, W, C): that of the top layer, or of another, from 0."""
        return read_npy(self._post("reconstruct", images, format="npy", passes=passes, layer=layer))

    def classify(self, images: Images, passes: int | None = None) -> Classification:
        """Needs a model that was trained with labels."""
        answer = self._connection.json(
            "POST", f"{self._path}/classify", params=_given(format="json", passes=passes), body=image_body(images)
        )
        return Classification(answer["classes"], np.asarray(answer["probabilities"]), answer["predictions"])

    def filters(self, format: str = "png", **view: Any) -> Any:
        """All filters: bytes of a picture, an array (units, H, W, C) for npy, a dict for json.

        `view`: cols, scale, pad, normalize, order, kind, layer.
        """
        return fetch_filters(self._connection, self._path, format, view)

    def filter(self, unit: int, format: str = "json", **view: Any) -> Any:
        """One filter: a dict for json, bytes of a picture (png, webp, svg), an array (H, W, C) for npy.

        `view`: kind, layer, scale, normalize, nearest.
        """
        return self._of_unit(f"filters/{unit}", format, view)

    def patches(self, unit: int, format: str = "npy", **view: Any) -> Any:
        """The inputs that drive a unit most, strongest first: an array (k, h, w, c) uint8 for npy, bytes of a mosaic
        (png, webp), for json a dict with their rows in the data set, places and activations.

        `view`: count, layer, cols, scale, pad.
        """
        return self._of_unit(f"filters/{unit}/patches", format, view)

    def map(self, kind: str, format: str = "png", layer: int | None = None, unit: int | None = None) -> Any:
        """A map of the model's units (`topography`, `tree`, …): bytes of a png or svg, a dict for json.

        `unit`: what the map `units` has of one alone.
        """
        params = _given(format=format, layer=layer, unit=unit)
        answer = self._connection.send("GET", f"{self._path}/maps/{kind}", params=params)
        return answer.json() if format == "json" else answer.content

    def weights(self, path: str | Path, format: str = "safetensors", **options: Any) -> Path:
        """Write the model's tensors to `path`, as safetensors or npz, or its encoder as onnx, from images to features.

        `options` of onnx: topk, layer, pixels (`float32`, `uint8`). An older file there stays if this fails.
        """
        target = Path(path)
        params = _given(format=format, **options)
        content = self._connection.send("GET", f"{self._path}/weights", params=params).content
        beside = target.with_name(target.name + ".part")
        beside.write_bytes(content)
        return beside.replace(target)

    def delete(self) -> None:
        self._connection.send("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/v1/models/{self.id}"

    def _of_unit(self, path: str, format: str, view: dict[str, Any]) -> Any:
        answer = self._connection.send("GET", f"{self._path}/{path}", params=_given(format=format, **view))
        if format == "json":
            return answer.json()
        return read_npy(answer.content) if format == "npy" else answer.content

    def _post(self, operation: str, images: Images, **params: Any) -> bytes:
        # Without an Idempotency-Key: the answer follows from the images, and the server would store it for a day.
        answer = self._connection.send(
            "POST", f"{self._path}/{operation}", params=_given(**params), body=image_body(images)
        )
        if answer.status_code != 202:
            return answer.content
        # More than one answer holds: the service made a job of it.
        job = Job(self._connection, answer.json()).wait()
        if job.status != "succeeded":
            raise PinwheelError(f"{job.id} {job.status}: {job.record['error']}")
        return self._connection.send("GET", f"/v1/jobs/{job.id}/result").content


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
