"""Every body that is read and every format that is written, with the readers and writers that people have.

The features of each are those of a reference in float64, calculated by numpy from the published weights.
"""

import base64
import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import scipy.sparse
from asking import npy, npz, wait_for
from PIL import Image

from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
HERE = "/v1/models/digits-36/encode"
COUNT = 5
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def reference(http: httpx2.Client, trained: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Images (n, 28, 28), 0 to 1 → features, in float64."""
    content = http.get("/v1/models/digits-36/weights").content
    weights = {name: value.astype(np.float64) for name, value in safetensors.numpy.load(content).items()}

    def encode(images: np.ndarray) -> np.ndarray:
        x = images.reshape(len(images), -1).astype(np.float64)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        drive = x @ weights["layers.0.encoder"].T - weights["layers.0.bias"]
        code = np.zeros_like(drive)
        for _ in range(4):
            code = np.maximum(0, drive + code @ weights["layers.0.explaining_away"].T)
        return code

    return encode


def picture(image: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format, **options)
    return out.getvalue()


def pixels(body: bytes) -> np.ndarray:
    """What Pillow reads, as the model sees it: gray, 0 to 1."""
    return np.asarray(Image.open(io.BytesIO(body)).convert("L"))[None] / 255


def arrow(column: Any) -> bytes:
    table = pa.table({"image": column})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "image/png": ("PNG", {}),
    "image/jpeg": ("JPEG", {"quality": 95}),
    "image/webp": ("WEBP", {"lossless": True}),
    "image/tiff": ("TIFF", {}),
    "image/bmp": ("BMP", {}),
}


@pytest.mark.parametrize("media_type", FILES)
def test_an_image_file_as_the_whole_body(http: httpx2.Client, digits: Digits, reference: Any, media_type: str) -> None:
    format, options = FILES[media_type]
    body = picture(digits[0][0], format, **options)
    answer = http.post(f"{HERE}?format=npy", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 200, answer.text
    found = np.load(io.BytesIO(answer.content))
    assert np.abs(found - reference(pixels(body))).max() < TOLERANCE


def bodies(images: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same images in every body that holds several; `content` or `files` of a request."""
    pngs = [picture(image) for image in images]
    floats = (images / 255).astype(np.float32)
    structs = pa.array([{"bytes": png, "path": f"{number}.png"} for number, png in enumerate(pngs)])
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(images))
    urls = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in pngs]
    contents = {
        "npy": npy(images),
        "npy of vectors": npy(floats.reshape(len(images), -1)),
        "npy of big-endian doubles by columns": npy(np.asfortranarray((images / 255).astype(">f8"))),
        "npz": npz(images=images),
        "zip": zipped({f"{number}.png": png for number, png in enumerate(pngs)}),
        "arrow {bytes, path}": arrow(structs),
        "arrow binary": arrow(pa.array(pngs, pa.binary())),
        "arrow vectors": arrow(pa.FixedSizeListArray.from_arrays(pa.array(floats.ravel()), 784)),
        "arrow tensors": arrow(tensors),
    }
    return {name: {"content": body} for name, body in contents.items()} | {
        "multipart": {"files": [("image", (f"{number}.png", png)) for number, png in enumerate(pngs)]},
        "JSON urls": {"json": {"inputs": urls}},
        "JSON arrays": {"json": {"inputs": [{"array": (image / 255).tolist()} for image in images]}},
    }


@pytest.mark.parametrize("name", bodies(np.ones((1, 28, 28), np.uint8)))
def test_bodies_of_several_images(http: httpx2.Client, digits: Digits, reference: Any, name: str) -> None:
    images = digits[0][:COUNT]
    expected = reference(images / 255)
    body = bodies(images)[name]
    answer = http.post(f"{HERE}?format=npy", **body)
    assert answer.status_code == 200, answer.text
    assert np.abs(np.load(io.BytesIO(answer.content)) - expected).max() < TOLERANCE
    # and the long way, as a job
    later = http.post(f"{HERE}?format=npy", **body, headers={"Prefer": "respond-async, wait=60"})
    assert later.status_code == 200, later.text
    assert np.abs(np.load(io.BytesIO(later.content)) - expected).max() < TOLERANCE


def dense_table(column: Any) -> np.ndarray:
    return np.stack([np.asarray(row) for row in column])


def of_pairs(rows: Any) -> np.ndarray:
    found = np.zeros((len(rows), 36))
    for number, row in enumerate(rows):
        for pair in row:
            found[number, pair["unit"]] = pair["value"]
    return found


def of_csr(read: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    array: np.ndarray = scipy.sparse.csr_matrix(
        (np.asarray(read["values"], np.float32), read["indices"], read["indptr"]), shape=shape
    ).toarray()
    return array


READERS: dict[tuple[str, bool], Callable[[bytes], Any]] = {
    ("json", False): lambda body: np.array(json.loads(body)["data"]),
    ("json", True): lambda body: of_csr(json.loads(body), json.loads(body)["shape"]),
    ("npy", False): lambda body: np.load(io.BytesIO(body)),
    ("npz", False): lambda body: np.load(io.BytesIO(body))["features"],
    ("npz", True): lambda body: scipy.sparse.load_npz(io.BytesIO(body)).toarray(),
    ("arrow", False): lambda body: dense_table(pa.ipc.open_stream(body).read_all()["features"].to_pylist()),
    ("arrow", True): lambda body: of_pairs(pa.ipc.open_stream(body).read_all()["features"].to_pylist()),
    ("parquet", False): lambda body: dense_table(pd.read_parquet(io.BytesIO(body))["features"]),
    ("parquet", True): lambda body: of_pairs(pd.read_parquet(io.BytesIO(body))["features"]),
    ("safetensors", False): lambda body: safetensors.numpy.load(body)["features"],
    ("safetensors", True): lambda body: of_csr(safetensors.numpy.load(body), (COUNT, 36)),
}
TYPES = {
    "json": "application/json",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "safetensors": "application/x-safetensors",
}


@pytest.mark.parametrize(("format", "sparse"), READERS)
def test_answers_are_read_by_those_who_read_the_format(
    http: httpx2.Client, digits: Digits, reference: Any, format: str, sparse: bool
) -> None:
    images = digits[0][:COUNT]
    expected = reference(images / 255)
    read = READERS[format, sparse]

    def ask(query: str) -> np.ndarray:
        answer = http.post(
            f"{HERE}?sparse={str(sparse).lower()}{query}", content=npy(images), headers={"Accept": TYPES[format]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == TYPES[format]
        assert answer.headers["x-model"] == "digits-36@1"
        found: np.ndarray = read(answer.content)
        return found

    assert np.abs(ask("") - expected).max() < TOLERANCE
    assert np.abs(ask("&dtype=float16") - expected).max() < 1e-3
    top = ask("&topk=3")
    assert ((top != 0).sum(1) <= 3).all()
    assert np.abs(top.max(1) - expected.max(1)).max() < TOLERANCE
    cut = float(np.median(expected[expected > 0])) + 1e-6
    assert np.abs(ask(f"&threshold={cut}") - np.where(expected > cut, expected, 0)).max() < TOLERANCE
    assert np.abs(ask("&layer=0&passes=4") - expected).max() < TOLERANCE


def test_tables_say_what_they_hold(http: httpx2.Client, digits: Digits, trained: dict[str, Any]) -> None:
    body = http.post(f"{HERE}?format=parquet&sparse=true&dtype=float16", content=npy(digits[0][:2])).content
    schema = pq.read_schema(io.BytesIO(body))
    assert schema.field("features").type == pa.list_(
        pa.field(
            "element", pa.struct([pa.field("unit", pa.int32(), False), pa.field("value", pa.float16(), False)]), False
        )
    )
    told = json.loads(schema.metadata[b"pinwheel"])
    assert told == {"object": "features", "model": "digits-36", "version": 1, "shape": [2, 36], "format": "csr"}


def test_what_does_not_exist_is_told_with_all_that_does(http: httpx2.Client, trained: dict[str, Any]) -> None:
    for request in ({"headers": {"Accept": "text/csv"}}, {"params": {"format": "csv"}}):
        answer = http.post(HERE, content=npy(np.zeros((1, 28, 28), np.uint8)), **request)
        assert answer.status_code == 406
        assert [each["type"] for each in answer.json()["available"]] == list(TYPES.values())


def test_curl_sends_a_jpeg(service: Service, digits: Digits, reference: Any, tmp_path: Path) -> None:
    body = picture(digits[0][3], "JPEG")
    (tmp_path / "x.jpg").write_bytes(body)
    line = ["curl", "-sS", "--fail-with-body", "--data-binary", f"@{tmp_path / 'x.jpg'}", service.url + HERE]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.abs(np.array(json.loads(done.stdout)["data"]) - reference(pixels(body))).max() < TOLERANCE


def test_a_parquet_data_set_is_encoded_into_parquet(http: httpx2.Client, digits: Digits, reference: Any) -> None:
    images, labels = digits[0][:50], digits[1][:50]
    table = pa.table(
        {
            "image": pa.array([{"bytes": picture(image), "path": "x.png"} for image in images]),
            "label": labels.astype(np.int64),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    dataset = http.post("/v1/datasets?name=parquet", content=out.getvalue()).json()
    assert (dataset["images"]["count"], dataset["labels"]["classes"]) == (50, 10)
    output = {"format": "parquet", "sparse": False, "topk": 4}
    body = {"type": "encode", "model": "digits-36", "dataset": dataset["id"], "passes": 4, "output": output}
    job = wait_for(http, http.post("/v1/jobs", json=body).json()["id"])
    assert job["status"] == "succeeded", job
    assert job["output"] == output | {"threshold": None, "dtype": "float32"}
    found = dense_table(pd.read_parquet(io.BytesIO(http.get(job["links"]["result"]).content))["features"])
    assert ((found != 0).sum(1) <= 4).all()
    assert np.abs(found.max(1) - reference(images / 255).max(1)).max() < TOLERANCE


ROWS: dict[str, Callable[[bytes, str, tuple[int, ...]], np.ndarray]] = {
    "npz": lambda body, name, shape: np.load(io.BytesIO(body))[name],
    "safetensors": lambda body, name, shape: safetensors.numpy.load(body)[name],
    "arrow": lambda body, name, shape: rows_of(pa.ipc.open_stream(body).read_all()[name], shape),
    "parquet": lambda body, name, shape: rows_of(pq.read_table(io.BytesIO(body))[name], shape),
}


def rows_of(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    return np.array(column.to_pylist(), np.float32).reshape(shape)


@pytest.mark.parametrize("format", ROWS)
def test_classes_and_reconstructions_come_in_the_same_formats(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits, format: str
) -> None:
    body, model = npy(digits[0][:COUNT]), "/v1/models/digits-36"
    told = http.post(f"{model}/classify", content=body).json()
    answer = http.post(f"{model}/classify?format={format}", content=body)
    found = ROWS[format](answer.content, "probabilities", (COUNT, 10))
    np.testing.assert_allclose(found, told["probabilities"], atol=1e-6)
    told = http.post(f"{model}/reconstruct?format=json", content=body).json()
    answer = http.post(f"{model}/reconstruct?format={format}", content=body)
    assert answer.headers["content-type"] == TYPES[format]
    found = ROWS[format](answer.content, "reconstructions", (COUNT, 28, 28, 1))
    np.testing.assert_allclose(found, told["data"], atol=1e-6)
    found = ROWS[format](answer.content, "unexplained_variance", (COUNT,))
    np.testing.assert_allclose(found, told["unexplained_variance"], atol=1e-6)


def test_formats_that_there_are_not_are_refused_with_those_that_there_are(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    answer = http.post("/v1/models/digits-36/classify?format=png", content=npy(digits[0][:1]))
    assert answer.status_code == 406
    for name in ("json", "npy", *ROWS):
        assert name in answer.json()["detail"]


def test_the_exported_encoder_gives_the_same(
    http: httpx2.Client,
    trained: dict[str, Any],
    digits: Digits,
    reference: Callable[[np.ndarray], np.ndarray],
) -> None:
    images = digits[0][:COUNT, ..., None]
    session = onnxruntime.InferenceSession(http.get("/v1/models/digits-36/weights?format=onnx").content)
    found = session.run(["features"], {"images": images.astype(np.float32) / 255})[0]
    np.testing.assert_allclose(found, reference(images / 255), atol=TOLERANCE)
