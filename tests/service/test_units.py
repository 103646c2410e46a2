"""One unit of a model through a real server: its filter, its numbers, and the inputs that drive it most."""

import io
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import npy, npz, wait_for
from PIL import Image
from training_cases import stripes

from pinwheel.client import Client
from pinwheel.errors import NotFound
from pinwheel.up import Service

MODEL = "/v1/models/digits-36"
ONCE = {"epochs": 1, "batch_size": 50, "previews": 0}


def array(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content))
    return found


def picture(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def told(http: httpx2.Client, path: str) -> dict[str, Any]:
    answer = http.get(f"{path}{'&' if '?' in path else '?'}format=json")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def local(http: httpx2.Client) -> str:
    """A model of local fields in tiles, on stripes."""
    found = stripes(200)
    http.post("/v1/datasets?name=few-stripes", content=npz(images=np.asarray(found.images)))
    body = {
        "type": "train",
        "dataset": "few-stripes",
        "model": {
            "connection": {"kind": "local", "field_size": 3, "tile": 2},
            "encoder": {"kind": "feedforward"},
            "sparsity": {"kind": "pools", "layout": "sheet", "size": 2, "weight": 0.01},
        },
        "training": ONCE,
        "publish_as": "fields",
    }
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert wait_for(http, answer.json()["id"])["status"] == "succeeded"
    return "/v1/models/fields"


def test_a_filter_is_one_of_all(http: httpx2.Client, trained: dict[str, Any]) -> None:
    whole = array(http.get(f"{MODEL}/filters?format=npy"))
    assert np.array_equal(array(http.get(f"{MODEL}/filters/7?format=npy")), whole[7])
    encoder = array(http.get(f"{MODEL}/filters?format=npy&kind=encoder"))
    assert np.array_equal(array(http.get(f"{MODEL}/filters/7?format=npy&kind=encoder")), encoder[7])


def test_a_filter_is_drawn_with_zero_gray(http: httpx2.Client, trained: dict[str, Any]) -> None:
    value = array(http.get(f"{MODEL}/filters/7?format=npy"))[..., 0]
    levels = np.rint(128 + 127 * value / np.abs(value).max())
    for format in ("png", "webp"):
        drawn = picture(http.get(f"{MODEL}/filters/7?format={format}&scale=3"))
        assert np.array_equal(drawn.reshape(84, 84, -1)[1::3, 1::3, 0], levels)
    assert picture(http.get(f"{MODEL}/filters/7")).shape == (252, 252)
    every = array(http.get(f"{MODEL}/filters?format=npy"))
    drawn = picture(http.get(f"{MODEL}/filters/7?scale=1&normalize=global"))
    assert np.array_equal(drawn, np.rint(128 + 127 * value / np.abs(every).max()))
    svg = http.get(f"{MODEL}/filters/7?format=svg")
    assert (svg.headers["content-type"], b"unit 7, used" in svg.content) == ("image/svg+xml", True)


def test_a_filter_in_numbers(http: httpx2.Client, trained: dict[str, Any]) -> None:
    found = told(http, f"{MODEL}/filters/7")
    among = told(http, f"{MODEL}/filters")["units"][7]
    assert {name: found[name] for name in among} == among
    assert (found["object"], found["model"], found["layer"], found["shape"]) == ("filter", "digits-36", 0, [28, 28, 1])
    assert (found["position"], found["pools"], found["inhibition"], found["tree"]) == (None, None, None, None)
    assert len(found["neighbours"]) == len(found["connections"]["incoming"]) == 8
    assert [each["class"] for each in found["classifier"]] == list(range(10))
    assert len(told(http, f"{MODEL}/filters/7?nearest=3")["neighbours"]) == 3
    links = found["links"]
    for name in ("self", "patches", "filters", "model"):
        assert http.get(links[name]).status_code == 200, name
    assert links["patches"] == "/v1/models/digits-36@1/filters/7/patches"


def test_the_record_of_a_model_leads_to_its_units(http: httpx2.Client, trained: dict[str, Any]) -> None:
    model = http.get(MODEL).json()
    assert model["patches"]["shape"] == [28, 28, 1]
    assert model["patches"]["count"] == 16
    for name in ("filter", "patches"):
        assert http.get(model["links"][name].format(unit=0)).status_code == 200


def test_activations_are_what_encode_answers(
    http: httpx2.Client, trained: dict[str, Any], digits: tuple[np.ndarray, np.ndarray], few_digits: str
) -> None:
    features = array(http.post(f"{MODEL}/encode?format=npy", content=npy(digits[0][:500])))
    seen = 0
    for unit in range(36):
        found = told(http, f"{MODEL}/filters/{unit}/patches")
        assert (found["dataset"], found["inputs"], found["window"]) == (few_digits, 100, [28, 28])
        values, rows = ([each[name] for each in found["data"]] for name in ("activation", "row"))
        assert np.allclose(features[rows, unit], values, atol=1e-5)
        assert values == sorted(values, reverse=True)
        pixels = array(http.get(f"{MODEL}/filters/{unit}/patches?format=npy"))
        assert np.array_equal(pixels[..., 0], digits[0][rows].reshape(-1, 28, 28))
        seen += len(rows)
    assert seen > 100


def test_a_mosaic_has_the_strongest_first(http: httpx2.Client, trained: dict[str, Any]) -> None:
    counts = [len(told(http, f"{MODEL}/filters/{unit}/patches")["data"]) for unit in range(36)]
    unit = int(np.argmax(counts))
    pixels = array(http.get(f"{MODEL}/filters/{unit}/patches?format=npy&count=3"))
    assert pixels.shape == (3, 28, 28, 1)
    for format in ("png", "webp"):
        drawn = picture(http.get(f"{MODEL}/filters/{unit}/patches?format={format}&count=3&cols=2&scale=1&pad=2"))
        drawn = drawn.reshape(62, 62, -1)[..., 0]
        assert np.array_equal(drawn[2:30, 2:30], pixels[0, ..., 0])
        assert np.array_equal(drawn[2:30, 32:60], pixels[1, ..., 0])
        assert np.array_equal(drawn[32:60, 2:30], pixels[2, ..., 0])
    idle = int(np.argmin(counts))
    blank = picture(http.get(f"{MODEL}/filters/{idle}/patches"))
    assert blank.size > 0
    assert len(told(http, f"{MODEL}/filters/{idle}/patches?count=1")["data"]) == min(1, counts[idle])


def test_units_of_fields_tell_where_they_are(http: httpx2.Client, local: str) -> None:
    found = told(http, f"{local}/filters/3")
    field = {"top": 1, "left": 1, "height": 3, "width": 3}
    assert found["position"] == {"layout": "torus", "row": 1, "column": 1, "field": field}
    assert [sorted(each["units"]) for each in found["pools"]] == [[0, 1, 2, 3]]
    assert (found["connections"], found["classifier"]) == (None, None)
    patches = told(http, f"{local}/filters/3/patches?count=5")
    assert patches["window"] == [3, 3]
    assert all(each["top"] % 2 == each["left"] % 2 == 1 for each in patches["data"]), "of every tile that one"
    images = np.asarray(stripes(200).images)
    for each, pixels in zip(patches["data"], array(http.get(f"{local}/filters/3/patches?format=npy")), strict=False):
        top, left = each["top"], each["left"]
        assert np.array_equal(pixels, images[each["row"], top : top + 3, left : left + 3])


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("filters/36", 404, "units 0 to 35, and unit is 36"),
        ("filters/-1", 404, "units 0 to 35, and unit is -1"),
        ("filters/first", 422, "unit"),
        ("filters/0?format=gif", 406, "png, webp, svg, npy, json"),
        ("filters/0?kind=middle", 422, "kind"),
        ("filters/0?scale=65", 400, "between 1 and 64"),
        ("filters/0?layer=1", 422, "1 layers, 0 to 0"),
        ("filters/0?nearest=65", 422, "nearest"),
        ("filters/0?cols=2", 422, "cols"),
        ("filters/36/patches", 404, "units 0 to 35"),
        ("filters/0/patches?count=0", 422, "greater than or equal to 1"),
        ("filters/0/patches?count=17", 422, "less than or equal to 16"),
        ("filters/0/patches?format=svg", 406, "png, webp, npy, json"),
        ("filters/0/patches?cols=0", 400, "cols is 0"),
        ("filters/0/patches?layer=-1", 422, "layer"),
    ],
)
def test_what_there_is_not_is_refused_by_name(
    http: httpx2.Client, trained: dict[str, Any], path: str, status: int, words: str
) -> None:
    answer = http.get(f"{MODEL}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


def test_an_older_model_says_that_it_has_no_patches(
    http: httpx2.Client, service: Service, trained: dict[str, Any]
) -> None:
    """Its file is moved away, as of a model that was published before there were any."""
    (path,) = service.data_dir.rglob("models/digits-36/1/patches.safetensors")
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        answer = http.get(f"{MODEL}/filters/0/patches")
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "no_patches"
        assert "published without" in answer.json()["detail"]
        assert told(http, f"{MODEL}/filters/0")["links"]["patches"] is None
        with Client(service.url) as client, pytest.raises(NotFound, match="published without"):
            client.model("digits-36").patches(0)
    finally:
        aside.rename(path)


def test_an_address_with_a_version_is_kept(http: httpx2.Client, trained: dict[str, Any]) -> None:
    for path in ("filters/1", "filters/1/patches"):
        first = http.get(f"{MODEL}@1/{path}")
        assert "immutable" in first.headers["cache-control"]
        again = http.get(f"{MODEL}@1/{path}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert http.get(f"{MODEL}@1/{path}?scale=2").headers["etag"] != first.headers["etag"]


def test_the_client_reads_units(service: Service, trained: dict[str, Any]) -> None:
    with Client(service.url) as client:
        model = client.model("digits-36")
        assert model.filter(2, nearest=1)["unit"] == 2
        assert model.filter(2, "npy", kind="encoder").shape == (28, 28, 1)
        assert model.filter(2, "svg").startswith(b"<svg")
        found = model.patches(2, "json", count=4)
        pixels = model.patches(2, count=4)
        assert (pixels.dtype, pixels.shape[1:]) == (np.uint8, (28, 28, 1))
        assert len(pixels) == len(found["data"])
        assert model.patches(2, "png").startswith(b"\x89PNG")
