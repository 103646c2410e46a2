"""Encode requests that become jobs, and results that are fetched whole, in shards and in ranges."""

import io
import itertools
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import scipy.sparse
from asking import npy, until, wait_for

from pinwheel.client import Client
from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
HERE = "/v1/models/digits-36/encode"
FORMATS = ("json", "npy", "npz", "arrow", "parquet", "safetensors")


def at_once(http: httpx2.Client, images: np.ndarray) -> np.ndarray:
    answer = http.post(f"{HERE}?format=npy", content=npy(images))
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content))
    return found


def inputs(service: Service) -> list[Path]:
    return list((service.data_dir / "inputs").glob("*"))


def test_respond_async_answers_with_a_job_whose_images_go_when_it_ends(
    http: httpx2.Client, service: Service, trained: dict[str, Any], digits: Digits
) -> None:
    images = digits[0][:50]
    query = "format=npz&topk=5&threshold=0.001&dtype=float32&passes=3&layer=0"
    answer = http.post(f"{HERE}?{query}", content=npy(images), headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["type"], job["dataset"], job["passes"], job["layer"]) == ("encode", None, 3, 0)
    output = {"format": "npz", "sparse": True, "topk": 5, "threshold": 0.001, "dtype": "float32"}
    assert job["output"] == output
    job = wait_for(http, job["id"])
    assert job["status"] == "succeeded", job
    assert job["result"] == job["result"] | {"shape": [50, 36], "sparse": True, "shards": 1}
    found = scipy.sparse.load_npz(io.BytesIO(http.get(job["links"]["result"]).content)).toarray()
    same = http.post(f"{HERE}?{query}", content=npy(images))
    assert np.abs(found - scipy.sparse.load_npz(io.BytesIO(same.content)).toarray()).max() < 1e-6
    until(lambda: not inputs(service))
    assert http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert not (service.data_dir / "jobs" / job["id"]).exists()


def test_wait_is_honoured_and_what_cannot_be_read_passed_over(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    body = npy(digits[0][:5])
    answer = http.post(f"{HERE}?format=npy", content=body, headers={"Prefer": "respond-async, wait=30"})
    assert answer.status_code == 200, answer.text
    assert np.abs(np.load(io.BytesIO(answer.content)) - at_once(http, digits[0][:5])).max() < 1e-6
    assert answer.headers["location"].startswith("/v1/jobs/job_")
    for prefer in ("wait=20", "wait=soon", "handling=lenient; x", "wait=-1", ""):
        assert http.post(HERE, content=body, headers={"Prefer": prefer}).status_code == 200


def test_a_cancelled_request_leaves_no_images(
    http: httpx2.Client, service: Service, trained: dict[str, Any], digits: Digits
) -> None:
    ids = []
    for _ in range(4):
        answer = http.post(HERE, content=npy(digits[0][:20000]), headers={"Prefer": "respond-async"})
        ids.append(answer.json()["id"])
    for job_id in ids:
        http.post(f"/v1/jobs/{job_id}/cancel")
    assert {wait_for(http, job_id)["status"] for job_id in ids} <= {"cancelled", "succeeded"}
    until(lambda: not inputs(service))


def test_images_that_a_job_cannot_take_are_refused_before_it_is_made(
    http: httpx2.Client, service: Service, trained: dict[str, Any]
) -> None:
    jobs = http.get("/v1/jobs?limit=1").json()["first_id"]
    later = {"Prefer": "respond-async"}
    for body, status, word in (
        (npy(np.zeros((2, 30, 28), np.uint8)), 422, "30"),
        (npy(np.full((2, 28, 28), np.nan)), 422, "nan"),
        (npy(np.zeros((2, 28, 28), np.uint8))[:-5], 422, "cut short"),
        (npy(np.array(["a"])), 422, "dtype"),
        (b"hello", 415, "hello"),
        (b"", 400, "empty"),
    ):
        answer = http.post(HERE, content=body, headers=later)
        assert answer.status_code == status, answer.text
        assert word in answer.json()["detail"], answer.text
    assert http.post(HERE + "?topk=99", content=b"", headers=later).status_code == 422
    assert http.get("/v1/jobs?limit=1").json()["first_id"] == jobs
    assert inputs(service) == []
    assert list((service.data_dir / "staging").glob("*")) == []


@pytest.fixture(scope="module")
def large(http: httpx2.Client, trained: dict[str, Any], digits: Digits) -> tuple[dict[str, Any], np.ndarray]:
    """A request of more images than one answer holds, as the job that it became, and its features."""
    images = np.concatenate([digits[0], digits[0][:1]])
    answer = http.post(f"{HERE}?format=safetensors&sparse=true", content=npy(images))
    assert answer.status_code == 202, answer.text
    assert "preference-applied" not in answer.headers
    job = wait_for(http, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return job, np.concatenate([at_once(http, digits[0]), at_once(http, digits[0][:1])])


def test_more_images_than_one_answer_holds_become_a_job_of_many_shards(
    http: httpx2.Client, large: tuple[dict[str, Any], np.ndarray]
) -> None:
    job, expected = large
    assert job["progress"]["step"] == job["progress"]["total_steps"] == 20_001
    assert job["result"]["shards"] > 3
    listing = http.get(job["links"]["shards"]).json()
    assert len(listing["data"]) == job["result"]["shards"]
    rows = [shard["rows"] for shard in listing["data"]]
    assert rows[0][0] == 0
    assert rows[-1][1] == 20_001
    assert all(before[1] == after[0] for before, after in itertools.pairwise(rows))
    assert sum(shard["values"] for shard in listing["data"]) == job["result"]["values"]
    for shard in (listing["data"][0], listing["data"][-1]):
        found = scipy.sparse.load_npz(io.BytesIO(http.get(shard["links"]["self"] + "?format=npz").content))
        start, stop = shard["rows"]
        assert np.abs(found.toarray() - expected[start:stop]).max() < 1e-5
        table = pa.ipc.open_stream(http.get(shard["links"]["self"] + "?format=arrow&sparse=false").content).read_all()
        assert np.abs(np.stack(table["features"].to_pylist()) - expected[start:stop]).max() < 1e-5
    missing = http.get(f"{job['links']['shards']}/{len(rows)}")
    assert missing.status_code == 404
    assert f"0 to {len(rows) - 1}" in missing.json()["detail"]


def test_the_whole_of_many_shards_is_one_file_in_every_format(
    http: httpx2.Client, large: tuple[dict[str, Any], np.ndarray]
) -> None:
    job, expected = large
    here = job["links"]["result"]
    own = http.get(here)
    assert own.headers["content-type"] == "application/x-safetensors"
    read = safetensors.numpy.load(own.content)
    matrix = scipy.sparse.csr_matrix((read["values"], read["indices"], read["indptr"]), (20_001, 36))
    assert np.abs(matrix.toarray() - expected).max() < 1e-5
    dense = np.load(io.BytesIO(http.get(here + "?format=npy").content))
    assert np.array_equal(dense, matrix.toarray())
    assert np.array_equal(scipy.sparse.load_npz(io.BytesIO(http.get(here + "?format=npz").content)).toarray(), dense)
    half = np.load(io.BytesIO(http.get(here + "?format=npz&sparse=false&dtype=float16").content))["features"]
    assert half.dtype == np.float16
    table = pa.ipc.open_stream(http.get(here + "?format=arrow&sparse=false").content).read_all()
    assert np.array_equal(table["features"].combine_chunks().flatten().to_numpy().reshape(dense.shape), dense)
    pairs = pq.read_table(io.BytesIO(http.get(here + "?format=parquet").content))["features"]
    assert [pair["unit"] for pair in pairs[20_000].as_py()] == np.flatnonzero(dense[-1]).tolist()
    assert np.allclose(http.get(here + "?format=json&sparse=false").json()["data"][-1], dense[-1], atol=1e-7)


@pytest.mark.parametrize("format", FORMATS)
def test_a_download_that_was_cut_off_goes_on(
    http: httpx2.Client, large: tuple[dict[str, Any], np.ndarray], format: str
) -> None:
    here = f"{large[0]['links']['result']}?format={format}"
    whole = http.get(here)
    assert whole.headers["accept-ranges"] == "bytes"
    tag = whole.headers["etag"]
    assert tag.startswith('"')
    middle = len(whole.content) // 2
    rest = http.get(here, headers={"Range": f"bytes={middle}-", "If-Range": tag})
    assert rest.status_code == 206
    assert rest.headers["content-range"] == f"bytes {middle}-{len(whole.content) - 1}/{len(whole.content)}"
    assert rest.headers["etag"] == tag
    assert whole.content[:middle] + rest.content == whole.content
    other = http.get(here, headers={"Range": f"bytes={middle}-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert http.get(here, headers={"If-None-Match": tag}).status_code == 304
    head = http.head(here)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))


def test_ranges_that_are_not_there_or_not_ranges(http: httpx2.Client, large: tuple[dict[str, Any], np.ndarray]) -> None:
    here = f"{large[0]['links']['result']}?format=npy"
    size = int(http.head(here).headers["content-length"])
    beyond = http.get(here, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    assert beyond.json()["code"] == "range_not_satisfiable"
    for odd in ("bytes=5-3", "bytes=x", "lines=1-2", "bytes=", "bytes=" + "9" * 400 + "-", "bytes=--1"):
        answer = http.get(here, headers={"Range": odd})
        assert (answer.status_code, len(answer.content)) == (200, size), odd
    assert http.get(here, headers={"Range": "bytes=-8"}).content == http.get(here).content[-8:]
    several = http.get(here, headers={"Range": "bytes=0-3,8-9"})
    assert several.headers["content-type"].startswith("multipart/byteranges")


def test_curl_resumes(service: Service, large: tuple[dict[str, Any], np.ndarray], tmp_path: Path) -> None:
    url = f"{service.url}{large[0]['links']['result']}?format=npy"
    target = tmp_path / "features.npy"
    subprocess.run(["curl", "-sSf", "-r", "0-99999", "-o", target, url], check=True, timeout=60)
    assert target.stat().st_size == 100_000
    subprocess.run(["curl", "-sSf", "-C", "-", "-o", target, url], check=True, timeout=60)
    assert np.abs(np.load(target) - large[1]).max() < 1e-5


def test_a_body_larger_than_a_request_may_be_becomes_a_job(
    http: httpx2.Client, service: Service, trained: dict[str, Any], digits: Digits, tmp_path: Path
) -> None:
    """Beyond 64 MiB the body goes to the disk as it comes; the client takes the features all the same."""
    images = np.tile(digits[0][:10_000], (9, 1, 1))[:86_000]
    assert images.nbytes > 64 * 2**20
    with Client(service.url, timeout_seconds=120) as client:
        found = client.model("digits-36").encode(images)
        job = next(job for job in client.jobs() if job.record["progress"]["step"] == 86_000)
        assert np.array_equal(np.load(job.download(tmp_path / "all.npy", "npy")), found)
    assert found.shape == (86_000, 36)
    expected = at_once(http, digits[0][:10_000])
    assert np.abs(found[80_000:86_000] - expected[:6000]).max() < 1e-5
    for operation in ("reconstruct", "classify"):
        answer = http.post(f"/v1/models/digits-36/{operation}", content=npy(np.zeros((1, 90_000, 800), np.uint8)))
        assert answer.status_code == 413, answer.text
    until(lambda: not inputs(service))
    until(lambda: not list((service.data_dir / "staging").glob("*")))


def test_encode_jobs_that_ask_for_what_the_model_has_not_are_refused(
    http: httpx2.Client, few_digits: str, trained: dict[str, Any]
) -> None:
    job = {"type": "encode", "model": "digits-36", "dataset": few_digits}
    for more, pointer in (
        ({"output": {"topk": 37}}, "#/output/topk"),
        ({"output": {"topk": 0}}, "#/output/topk"),
        ({"output": {"threshold": -1}}, "#/output/threshold"),
        ({"output": {"dtype": "float64"}}, "#/output/dtype"),
        ({"output": {"format": "csv"}}, "#/output/format"),
        ({"layer": 1}, "#/layer"),
        ({"passes": 201}, "#/passes"),
    ):
        answer = http.post("/v1/jobs", json=job | more)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
    for query in ("sparse=true&format=npy", "dtype=float64", "sparse=maybe", "topk=-1", "shard=1"):
        assert http.get(f"/v1/jobs/{trained['id']}/result?{query}").status_code in (400, 422)
