"""Bad input: a clear 4xx with the value and what is allowed, and nothing left behind on disk or in the store."""

import gzip
import io
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import SMALL, npy, npz, wait_for

from pinwheel.store.connection import connect
from pinwheel.up import Service


def everything_kept(service: Service) -> tuple[list[str], list[bytes]]:
    """Every file of data sets and staging, and every key of data sets and jobs."""
    folders = [service.data_dir / name for name in ("datasets", "staging", "jobs")]
    files = sorted(str(path) for folder in folders if folder.exists() for path in folder.rglob("*"))
    client = connect(service.redis_url)
    patterns = ("pinwheel:dataset*", "pinwheel:digests", "pinwheel:job*")
    keys = [key for pattern in patterns for key in client.scan_iter(pattern)]
    counts = [client.hlen("pinwheel:digests"), client.zcard("pinwheel:datasets"), client.zcard("pinwheel:jobs")]
    client.close()
    return files, sorted(keys) + [str(count).encode() for count in counts]


@pytest.fixture
def nothing_left(service: Service, trained: dict[str, Any]) -> Iterator[None]:
    filed = service.data_dir / "jobs" / trained["id"] / "job.json.gz"
    while not filed.exists():  # by the reaper, a moment after the job has ended
        time.sleep(0.05)
    before = everything_kept(service)
    yield
    assert everything_kept(service) == before


def refused(answer: httpx2.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    for word in words:
        assert word in body["detail"], (word, body["detail"])
    return body


JOB = {"type": "train", "recipe": "drsae", "dataset": "few-digits"}

BAD_JOBS = {
    "unknown recipe": (JOB | {"recipe": "drsaee"}, 422, "#/recipe", ["drsaee", "drsae"]),
    "unknown field": (JOB | {"trainng": {}}, 422, "#/trainng", ["trainng", "training"]),
    "unknown nested field": (
        JOB | {"model": {"connection": {"unit": 3}}},
        422,
        "#/model/connection/unit",
        ["'unit'", "'units'"],
    ),
    "units 0": (JOB | {"model": {"connection": {"units": 0}}}, 422, "#/model/connection/units", ["0", "greater"]),
    "epochs -1": (JOB | {"training": {"epochs": -1}}, 422, "#/training/epochs", ["-1", "greater"]),
    "text for a number": (JOB | {"training": {"epochs": "ten"}}, 422, "#/training/epochs", ["'ten'", "integer"]),
    "number as text": (JOB | {"training": {"epochs": "10"}}, 422, "#/training/epochs", ["'10'", "integer"]),
    "a boolean for a number": (JOB | {"training": {"epochs": True}}, 422, "#/training/epochs", ["True"]),
    "no data set": ({"type": "train", "recipe": "drsae"}, 422, "#/dataset", ["required"]),
    "missing data set": (JOB | {"dataset": "ds_nothing"}, 404, "#/dataset", ["ds_nothing"]),
    "missing validation": (
        JOB | {"validation": {"dataset": "nope"}},
        404,
        "#/validation/dataset",
        ["nope"],
    ),
    "validation twice": (
        JOB | {"validation": {"dataset": "few-digits", "split": 0.1}},
        422,
        "#/validation",
        ["few-digits", "0.1"],
    ),
    "a split that leaves nothing": (JOB | {"validation": {"split": 0.9999}}, 422, "#/validation/split", ["500"]),
    "unknown type": (JOB | {"type": "tarin"}, 422, "#/type", ["tarin", "train"]),
    "unknown kind": (JOB | {"model": {"connection": {"kind": "dens"}}}, 422, "#/model/connection/kind", ["dens"]),
    "a bad model name": (JOB | {"publish_as": "No Good"}, 422, "#/publish_as", ["No Good"]),
    "no recipe and half a model": (
        {"type": "train", "dataset": "few-digits", "model": {"connection": {"kind": "dense", "units": 5}}},
        422,
        "#/model/encoder",
        ["required"],
    ),
    "not an object": ([1, 2], 422, "#", ["[1, 2]"]),
}


@pytest.mark.parametrize("name", BAD_JOBS)
def test_a_bad_job_is_refused(http: httpx2.Client, few_digits: str, nothing_left: None, name: str) -> None:
    body, status, pointer, words = BAD_JOBS[name]
    found = refused(
        http.post("/v1/jobs", json=body), status, "not_found" if status == 404 else "invalid_config", *words
    )
    assert found["errors"][0]["pointer"] == pointer


def test_bodies_that_are_no_json_are_refused(http: httpx2.Client, nothing_left: None) -> None:
    headers = {"Content-Type": "application/json"}
    refused(http.post("/v1/jobs", content=b"", headers=headers), 400, "invalid_request", "empty")
    refused(http.post("/v1/jobs", content=b'{"type": ', headers=headers), 400, "invalid_request", "line 1")
    refused(http.post("/v1/jobs", content=b'{"a": NaN}', headers=headers), 400, "invalid_request", "NaN")
    refused(http.post("/v1/jobs", content=b"\xff\xfe\x00", headers=headers), 400, "invalid_request")
    refused(http.post("/v1/jobs", content=b'{"name": "\\ud800"}', headers=headers), 400, "invalid_request")
    refused(http.post("/v1/jobs", content=b"[" * 100_000, headers=headers), 400, "invalid_request")


def test_unlabelled_data_cannot_train_a_classifier(http: httpx2.Client, digits: Any) -> None:
    dataset = http.post("/v1/datasets?name=plain", content=npy(digits[0][:40])).json()
    answer = http.post("/v1/jobs", json=JOB | {"dataset": dataset["id"]})
    found = refused(answer, 422, "invalid_config", dataset["id"], "labels")
    assert found["errors"][0]["pointer"] == "#/dataset"
    without = http.post(
        "/v1/jobs?dry_run=true", json=JOB | {"dataset": "plain", "model": {"classifier": {"kind": "none"}}}
    )
    assert without.status_code == 200, without.text


def test_images_of_mixed_sizes_cannot_train_a_dense_model(http: httpx2.Client) -> None:
    photos = http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "photos"}}).json()
    assert photos["images"] == photos["images"] | {"variable_size": True, "count": 8, "shape": None}
    body = JOB | {"dataset": "photos", "model": {"classifier": {"kind": "none"}}}
    refused(http.post("/v1/jobs", json=body), 422, "invalid_config", photos["id"], "different sizes")


def test_a_deleted_data_set_is_missed(http: httpx2.Client, digits: Any) -> None:
    dataset = http.post("/v1/datasets?name=brief", content=npz(images=digits[0][:30], labels=digits[1][:30])).json()
    assert http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    refused(http.post("/v1/jobs", json=JOB | {"dataset": dataset["id"]}), 404, "not_found", dataset["id"])


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", side) for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def zip_of(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/").replace("dotdot", ".."), data)
    return out.getvalue()


def zip_bomb(gigabytes: int) -> bytes:
    """Entries of one gigabyte of zeros each, a thousandth of that as bytes; deflated blocks can simply be repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(b"\0" * (64 * 1024 * 1024)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = block * 16 + b"\x03\x00"
    body, directory = b"", b""
    for number in range(gigabytes):
        name = f"{number}.png".encode()
        common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(data), 1 << 30, len(name), 0)
        directory += b"PK\x01\x02\x14\x00" + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + common + name + data
    end = struct.pack("<HHHHIIH", 0, 0, gigabytes, gigabytes, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def object_npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, images=np.array([{"a": 1}, None], dtype=object))
    return out.getvalue()


def lying_npy() -> bytes:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (900000000, 28, 28), }"
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 100


DIGIT = np.zeros((28, 28), np.uint8)
BAD_UPLOADS: dict[str, tuple[bytes, int, str, list[str]]] = {
    "empty body": (b"", 400, "invalid_request", ["empty"]),
    "no known format": (b"hello, this is text", 415, "unsupported_media_type", ["npy"]),
    "truncated IDX": (idx(np.zeros((10, 28, 28)))[:-5], 422, "invalid_dataset", []),
    "truncated gzip IDX": (gzip.compress(idx(np.zeros((10, 28, 28))))[:-9], 422, "invalid_dataset", []),
    "object array": (object_npz(), 422, "invalid_dataset", ["object"]),
    "lying npy header": (lying_npy(), 413, "payload_too_large", ["900000000", "5000000"]),
    "zip that climbs": (zip_of(dotdot__x=b"abc"), 422, "invalid_dataset", ["../x"]),
    "huge PNG": (png_claiming(60_000, 60_000), 413, "payload_too_large", ["60000 ", "40000000"]),
    "NaN pixels": (npy(np.full((3, 4, 4), np.nan, np.float32)), 422, "invalid_dataset", []),
    "no image": (npy(np.zeros((0, 28, 28), np.uint8)), 422, "invalid_dataset", []),
    "labels that do not fit": (
        npz(images=np.zeros((3, 4, 4), np.uint8), labels=np.zeros(2, np.int64)),
        422,
        "invalid_dataset",
        ["3", "2"],
    ),
    "negative labels": (
        npz(images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, -1])),
        422,
        "invalid_dataset",
        ["-1"],
    ),
}


@pytest.mark.parametrize("name", BAD_UPLOADS)
def test_a_bad_upload_is_refused_and_leaves_nothing(http: httpx2.Client, nothing_left: None, name: str) -> None:
    body, status, code, words = BAD_UPLOADS[name]
    refused(http.post("/v1/datasets?name=bad", content=body), status, code, *words)


def test_a_bomb_is_refused_early(http: httpx2.Client, nothing_left: None) -> None:
    answer = http.post("/v1/datasets", content=zip_bomb(10))
    assert answer.status_code in (413, 422), answer.text
    assert answer.json()["code"] in ("payload_too_large", "invalid_dataset")


def test_an_upload_above_the_limit_is_refused(http: httpx2.Client, nothing_left: None) -> None:
    def endless() -> Iterator[bytes]:
        block = b"\0" * (1024 * 1024)
        for _ in range(400):
            yield block

    try:
        answer = http.post("/v1/datasets", content=endless())
    except httpx2.HTTPError:  # the server may close before the client has sent all
        return
    refused(answer, 413, "payload_too_large", "268435456")


def test_unknown_options_are_refused(http: httpx2.Client, nothing_left: None) -> None:
    refused(http.post("/v1/datasets?colour=gray", content=npy(DIGIT[None])), 422, "invalid_config", "colour", "color")
    refused(http.post("/v1/datasets?color=grey", content=npy(DIGIT[None])), 422, "invalid_config", "grey", "gray")


ENCODE = "/v1/models/digits-36/encode"
BAD_ENCODES: dict[str, tuple[str, bytes, int, str, list[str]]] = {
    "wrong shape": ("", npy(np.zeros((1, 30, 28), np.uint8)), 422, "invalid_dataset", ["30", "28"]),
    "NaN pixels": ("", npy(np.full((1, 28, 28), np.nan, np.float32)), 422, "invalid_dataset", ["nan", "finite"]),
    "empty body": ("", b"", 400, "invalid_request", ["empty"]),
    "no known format": ("", b"hello", 415, "unsupported_media_type", []),
    "unknown format": ("?format=xml", npy(DIGIT[None]), 406, "not_acceptable", ["xml", "npy"]),
    "sparse npy": ("?format=npy&sparse=true", npy(DIGIT[None]), 422, "invalid_config", ["npz"]),
    "topk 0": ("?topk=0", npy(DIGIT[None]), 422, "invalid_config", ["0"]),
    "topk too large": ("?topk=37", npy(DIGIT[None]), 422, "invalid_config", ["37", "36"]),
    "negative threshold": ("?threshold=-1", npy(DIGIT[None]), 422, "invalid_config", ["-1"]),
    "passes 0": ("?passes=0", npy(DIGIT[None]), 422, "invalid_config", ["0"]),
    "huge PNG": ("", png_claiming(60_000, 60_000), 413, "payload_too_large", ["60000 ", "40000000"]),
    "no image": ("", npy(np.zeros((0, 28, 28), np.uint8)), 422, "invalid_dataset", []),
}


@pytest.mark.parametrize("name", BAD_ENCODES)
def test_a_bad_encode_request_is_refused_and_the_next_one_answered(
    http: httpx2.Client, trained: dict[str, Any], nothing_left: None, name: str
) -> None:
    query, body, status, code, words = BAD_ENCODES[name]
    refused(http.post(ENCODE + query, content=body), status, code, *words)
    assert http.post(ENCODE, content=npy(DIGIT[None])).status_code == 200


def test_json_inputs_that_make_no_sense_are_refused(http: httpx2.Client, trained: dict[str, Any]) -> None:
    for inputs in (
        [],
        "x",
        [{"array": [[1, 2], [3]]}],
        [{"array": "text"}],
        [{"arrray": [[1]]}],
        ["data:image/png;base64,@@"],
        [7],
    ):
        answer = http.post(ENCODE, json={"inputs": inputs})
        assert 400 <= answer.status_code < 500, (inputs, answer.text)
        assert answer.json()["detail"]
    answer = http.post(ENCODE, json={"input": []})
    assert 400 <= answer.status_code < 500
    assert "input" in answer.json()["detail"]


def test_a_model_or_job_that_is_not_there_is_a_404(http: httpx2.Client, trained: dict[str, Any]) -> None:
    for path in (
        "/v1/models/nope",
        "/v1/models/digits-36@9",
        "/v1/models/digits-36@x",
        "/v1/models/..%2F..",
        "/v1/jobs/job_x",
    ):
        refused(http.get(path), 404, "not_found")
    refused(http.get("/v1/nothing"), 404, "not_found")
    refused(http.post("/v1/models/nope/encode", content=npy(DIGIT[None])), 404, "not_found", "nope")
    refused(http.get("/v1/models/digits-36/filters?format=gif"), 406, "not_acceptable", "gif", "png")
    refused(http.get("/v1/models/digits-36/filters?cols=0"), 400, "invalid_request", "0")
    refused(http.get(f"/v1/jobs/{trained['id']}/result"), 400, "invalid_request", "encode")


def test_a_misspelt_parameter_is_not_ignored(http: httpx2.Client, trained: dict[str, Any]) -> None:
    body = npy(DIGIT[None])
    refused(http.post(ENCODE + "?topK=5", content=body), 422, "invalid_config", "topK", "'topk'")
    refused(http.get("/v1/jobs?state=running"), 422, "invalid_config", "state", "status")
    refused(http.get(f"/v1/jobs/{trained['id']}/filters?stp=3"), 422, "invalid_config", "stp", "'step'")
    refused(http.get("/v1/models/digits-36/filters?colls=3"), 422, "invalid_config", "colls", "'cols'")
    assert http.get("/v1/models/digits-36/filters?cols=3&pad=0&format=png").status_code == 200


def test_a_job_that_is_not_json_is_refused_by_its_type(http: httpx2.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = http.post("/v1/jobs", content=b"{}", headers={"Content-Type": kind})
        refused(answer, 415, "unsupported_media_type", kind, "application/json")


def test_what_cannot_be_an_id_is_a_404(http: httpx2.Client, trained: dict[str, Any]) -> None:
    for wrong in (f"{trained['id']}:events", "job_..", "job_%00", "job_A", "x" * 5000):
        refused(http.get(f"/v1/jobs/{wrong}"), 404, "not_found")
        refused(http.get(f"/v1/jobs/{wrong}/events"), 404, "not_found")
        refused(http.post(f"/v1/jobs/{wrong}/cancel"), 404, "not_found")
        refused(http.delete(f"/v1/jobs/{wrong}"), 404, "not_found")


def test_metadata_that_nests_too_deep_is_refused(http: httpx2.Client, few_digits: str, nothing_left: None) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    refused(http.post("/v1/jobs", json=JOB | {"metadata": {"deep": deep}}), 422, "invalid_config", "301", "20")
    big = {"text": "x" * 70_000}
    refused(http.post("/v1/jobs", json=JOB | {"metadata": big}), 422, "invalid_config", "65536")


def test_numbers_beyond_bounds_are_refused(http: httpx2.Client, trained: dict[str, Any]) -> None:
    assert http.get(f"/v1/jobs/{trained['id']}/events?after=99999999999999999999").status_code == 422
    body = b'{"type": "train", "recipe": "drsae", "dataset": "few-digits", "metadata": {"x": 1e999}}'
    refused(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}), 400, "invalid_request")
    huge = npy(np.full((1, 28, 28), 3e38, np.float32))
    for operation in ("encode", "reconstruct", "classify"):
        answer = http.post(f"/v1/models/digits-36/{operation}", content=huge)
        assert answer.status_code in (200, 422), answer.text


def test_weights_that_are_gone_from_the_disk_are_410(http: httpx2.Client, service: Service, few_digits: str) -> None:
    body = JOB | SMALL | {"dataset": few_digits, "publish_as": "lost-files"}
    assert wait_for(http, http.post("/v1/jobs", json=body).json()["id"])["status"] == "succeeded"
    for file in (service.data_dir / "models" / "lost-files" / "1").iterdir():
        file.unlink()
    for kind in ("safetensors", "npz", "onnx"):
        refused(http.get(f"/v1/models/lost-files/weights?format={kind}"), 410, "gone", "lost-files@1")
    assert http.post("/v1/models/lost-files/encode", content=npy(DIGIT[None])).status_code == 404
    assert http.delete("/v1/models/lost-files").status_code == 204
