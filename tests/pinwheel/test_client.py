"""The client against the real service: the whole main job, from images to sparse features."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file
from scipy import sparse

from pinwheel.builtin import BUILTIN
from pinwheel.client import AsyncClient, Client, Job, Model
from pinwheel.errors import InvalidConfig, JobStateConflict, NotAcceptable, NotFound
from pinwheel.up import Service

SMALL: dict[str, Any] = {
    "recipe": "drsae",
    "model": {"connection": {"units": 16}, "encoder": {"passes": 3}},
    "training": {"epochs": 3, "batch_size": 50, "previews": 4},
}


def wait_until(true: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(BUILTIN["digits"]) as archive:
        return archive["images"][:500], archive["labels"][:500].astype(np.int64)


@pytest.fixture(scope="module")
def dataset(client: Client, digits: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> dict[str, Any]:
    return client.create_dataset(digits[0], digits[1], name="some-digits")


@pytest.fixture(scope="module")
def seen() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def job(client: Client, dataset: dict[str, Any], seen: list[dict[str, Any]]) -> Job:
    started = client.train(dataset=dataset, validation=0.2, publish_as="small", **SMALL)
    assert started.status in ("queued", "running")
    return started.wait(120, on_event=seen.append)


@pytest.fixture(scope="module")
def model(client: Client, job: Job) -> Model:
    assert job.model == "small@1"
    return client.model("small")


def test_arrays_and_files_of_the_same_content_are_one_data_set(
    client: Client, dataset: dict[str, Any], digits: tuple[NDArray[np.uint8], NDArray[np.int64]], tmp_path: Path
) -> None:
    np.savez(tmp_path / "digits.npz", images=digits[0], labels=digits[1])
    again = client.create_dataset(tmp_path / "digits.npz", name="some-digits")
    assert again["id"] == dataset["id"]
    assert dataset["images"] == {"count": 500, "shape": [28, 28, 1], "dtype": "uint8", "variable_size": False}
    assert dataset["labels"]["classes"] == 10
    assert dataset["id"] in [record["id"] for record in client.datasets()]
    assert client.dataset("some-digits")["digest"] == dataset["digest"]


def test_a_data_set_can_be_looked_at_and_deleted(client: Client) -> None:
    record = client.create_dataset(np.zeros((3, 5, 4, 3), np.uint8), name="black")
    assert Image.open(io.BytesIO(client.dataset_preview(record["id"]))).mode == "RGB"
    client.delete_dataset(record["id"])
    with pytest.raises(NotFound):
        client.dataset(record["id"])


def test_a_folder_becomes_a_data_set_with_the_names_of_its_folders(
    client: Client, digits: tuple[NDArray[np.uint8], NDArray[np.int64]], tmp_path: Path
) -> None:
    for number in range(6):
        folder = tmp_path / f"digit-{digits[1][number] % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(digits[0][number]).save(folder / f"{number}.png")
    (tmp_path / "README.txt").write_text("six digits")
    dataset = client.create_dataset(tmp_path, name="folder")
    assert dataset["labels"] == {"count": 6, "classes": 2, "names": ["digit-0", "digit-1"]}
    assert (dataset.count, dataset.classes, dataset.name, dataset["id"]) == (6, 2, "folder", dataset.id)
    assert dict(dataset) == client.dataset(dataset.id)
    of_sizes = [Image.fromarray(digits[0][0]), Image.fromarray(digits[0][1][:20])]
    varied = client.create_dataset(of_sizes, labels=["one", "other"])
    assert varied["images"]["variable_size"]
    assert varied["labels"]["names"] == ["one", "other"]
    dataset.delete()
    varied.delete()


def test_a_typing_error_in_a_training_is_refused_with_its_place(client: Client, dataset: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig) as refused:
        client.train(dataset=dataset, recipe="drsae", training={"epoch": 3})
    assert refused.value.errors[0]["pointer"] == "#/training/epoch"


def test_the_events_tell_the_whole_story_in_order(job: Job, seen: list[dict[str, Any]]) -> None:
    assert job.status == "succeeded"
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert {"status", "metrics", "preview", "done"} <= {event["type"] for event in seen}
    assert seen[-1]["type"] == "done"
    assert list(job.events()) == seen
    assert list(job.events(after=seen[-2]["seq"])) == seen[-1:]
    assert list(job.events(after=seen[-1]["seq"])) == []


def test_the_history_of_the_metrics_comes_by_columns(job: Job) -> None:
    columns = job.metrics()["columns"]
    assert columns["step"][-1] == job.record["progress"]["total_steps"] == 24
    assert len(columns["loss"]) == len(columns["step"])
    assert columns["unexplained_variance"][-1] == pytest.approx(job.record["metrics"]["unexplained_variance"])


def test_the_filters_of_job_and_model_are_pictures_numbers_and_statistics(job: Job, model: Model) -> None:
    assert job.filters(format="npy").shape == (16, 28, 28, 1)
    assert Image.open(io.BytesIO(job.filters(step=0))).format == "PNG"
    picture = Image.open(io.BytesIO(model.filters(order="orientation", cols=8, scale=1, pad=0)))
    assert picture.size == (8 * 28, 2 * 28)
    assert len(model.filters("json")["units"]) == 16


def test_sparse_and_dense_features_are_the_same_numbers(
    model: Model, digits: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    dense = model.encode(digits[0][:20])
    assert dense.shape == (20, 16)
    compressed = model.encode(digits[0][:20], sparse=True)
    assert isinstance(compressed, sparse.csr_matrix | sparse.csr_array)
    assert (compressed.toarray() == dense).all()
    assert (sparse.load_npz(io.BytesIO(model.encode_npz(digits[0][:20]))).toarray() == dense).all()
    assert ((model.encode(digits[0][:20], topk=2) != 0).sum(axis=1) <= 2).all()


def test_image_files_are_encoded_like_arrays(
    model: Model, digits: tuple[NDArray[np.uint8], NDArray[np.int64]], tmp_path: Path
) -> None:
    dense = model.encode(digits[0][:2])
    for number in range(2):
        Image.fromarray(digits[0][number]).save(tmp_path / f"{number}.png")
    one, two = tmp_path / "0.png", tmp_path / "1.png"
    assert model.encode(one) == pytest.approx(dense[:1], abs=1e-5)
    assert model.encode([one, two.read_bytes()]) == pytest.approx(dense, abs=1e-5)


def test_pictures_and_lists_of_arrays_are_encoded_like_arrays(
    model: Model, digits: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    dense = model.encode(digits[0][:2])
    assert (model.encode([Image.fromarray(image) for image in digits[0][:2]]) == dense).all()
    assert (model.encode(list(digits[0][:2])) == dense).all()
    assert model.encode(Image.fromarray(digits[0][0])) == pytest.approx(dense[:1], abs=1e-5)


def test_many_requests_are_awaited_together(
    service: Service, model: Model, job: Job, seen: list[dict[str, Any]], tmp_path: Path,
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:  # fmt: skip
    found: dict[int, Any] = {}
    taken: list[int] = []

    async def take(event: dict[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()
        taken.append(event["seq"])

    async def main() -> None:
        np.savez(tmp_path / "digits.npz", images=digits[0], labels=digits[1])
        async with AsyncClient(service.url) as client, anyio.create_task_group() as group:
            small = await client.model(model.id)

            async def encode(number: int) -> None:
                found[number] = await small.encode(digits[0][number : number + 1])

            for number in range(8):
                group.start_soon(encode, number)
            assert (await client.create_dataset(tmp_path / "digits.npz", name="some-digits")).count == 500
            assert job.id in [each.id async for each in client.jobs(status="succeeded")]
            same = await client.job(job.id)
            assert [event async for event in same.events()] == seen
            assert await same.wait(30, on_event=take) is same
            assert (await small.weights(tmp_path / "weights")).stat().st_size > 784 * 16 * 4

    anyio.run(main)
    assert taken == [event["seq"] for event in seen]
    dense = model.encode(digits[0][:8])
    assert np.concatenate([found[number] for number in range(8)]) == pytest.approx(dense, abs=1e-5)


def test_images_are_reconstructed_and_classified(
    model: Model, digits: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    images = digits[0][:30]
    assert model.reconstruct(images).shape == (30, 28, 28, 1)
    found = model.classify(images)
    assert found.classes == list(range(10))
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(30), abs=1e-4)
    assert found.predictions == [int(index) for index in found.probabilities.argmax(axis=1)]


def test_the_weights_can_be_kept(model: Model, tmp_path: Path) -> None:
    tensors = load_file(model.weights(tmp_path / "small.safetensors"))
    assert tensors["layers.0.dictionary"].shape == (784, 16)
    with pytest.raises(NotAcceptable):
        model.weights(tmp_path / "small.onxx", format="onxx")
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]


def test_a_whole_data_set_is_encoded_by_a_job(
    client: Client, model: Model, dataset: dict[str, Any], digits: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    job = client.encode_dataset(model=model, dataset=dataset).wait(60)
    assert job.status == "succeeded"
    assert job.result().toarray()[:20] == pytest.approx(model.encode(digits[0][:20]), abs=1e-5)


def test_a_job_can_be_paused_resumed_and_cancelled(client: Client, dataset: dict[str, Any]) -> None:
    long = {**SMALL, "training": {"epochs": 100_000, "batch_size": 50}}
    job = client.train(dataset=dataset, **long)
    wait_until(lambda: job.refresh().record["progress"]["step"] > 0)
    job.pause()
    wait_until(lambda: job.refresh().status == "paused")
    stopped = job.record["progress"]["step"]
    assert job.resume().status in ("queued", "running")
    wait_until(lambda: job.refresh().record["progress"]["step"] > stopped)
    assert job.cancel().wait(60).status == "cancelled"
    assert job.id in [found.id for found in client.jobs(status="cancelled", type="train")]
    with pytest.raises(JobStateConflict):
        job.resume()
    job.delete()
    with pytest.raises(NotFound):
        client.job(job.id)
