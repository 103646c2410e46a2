"""Maps of models over HTTP: a real server on a real store, with models whose filters are known by construction."""

import base64
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import numpy as np
import pytest
from gabors import gabors, pinwheel_map
from part_unit_cases import planted
from PIL import Image
from safetensors.numpy import save_file

from pinwheel.settings import Settings
from pinwheel.specs.trees import TreeShape
from pinwheel.store.artifacts import Artifacts, write_json
from pinwheel.store.connection import connect
from pinwheel.store.jobs import JobStore, Publication

PARENT = np.array(TreeShape(branching=[10, 2, 2]).parent_of_each())
KINDS = ("topography", "orientation", "inhibition", "tree", "units", "usage", "invariance")
INVARIANCE = {
    "shift": {"pixels_moved": [0, 1, 2], "pixels": [0.0, 0.6, 0.9], "code": [0.0, 0.5, 0.8], "pooled": [0.0, 0.2, 0.4]},
    "rotation": {"degrees": [0, 10, 20], "pixels": [0.0, 0.5, 0.8], "code": [0.0, 0.4, 0.7], "pooled": None},
}
DONE = {"step": 7, "total_steps": 7, "epoch": 1.0, "fraction": 1.0, "samples_per_second": None, "eta": None}
SVG = "{http://www.w3.org/2000/svg}"
Tensors = dict[str, np.ndarray]


class Shelf:
    """Publishes bundles as a trainer does: a claimed job, the folder in its place, the record in the registry."""

    def __init__(self, store: JobStore, artifacts: Artifacts) -> None:
        self.store = store
        self.artifacts = artifacts

    def publish(self, name: str, tensors: Tensors, sparsity: dict[str, Any], **more: Any) -> None:
        job = f"job_{name}"
        given = {"type": "train", "dataset": "ds_1", "max_attempts": 1, "spec": {}, "progress": DONE}
        self.store.create(job, given, [])
        claim = self.store.claim(job, "test")
        assert claim is not None
        version = self.store.reserve_version(claim, name)
        metrics = {"part_units": 0.0} if "angle" in tensors else {}
        record = {"name": name, "version": version, "job": job, "step": 7, "format": "pinwheel/1", "metrics": metrics}
        record |= {"units": len(tensors["usage"]), "spec": {"model": {"sparsity": sparsity}}, **more}
        metadata = {"step": "7"} | ({"map": json.dumps(more["map"])} if more.get("map") else {})
        with self.artifacts.staged() as folder:
            bundle = folder / "bundle"
            bundle.mkdir()
            save_file(tensors, bundle / "units.safetensors", metadata)
            write_json(bundle / "model.json", record)
            self.artifacts.adopt(bundle, self.artifacts.model(name, version))
        self.store.end(claim, "succeed", {"model": f"{name}@{version}"}, model=Publication(name, version, record))


def torus_model(seed: int | None = None) -> Tensors:
    """256 filters on a smooth map of orientations; with a seed, the same filters at places by chance."""
    filters = pinwheel_map(16, 16)
    if seed is not None:
        filters = filters[np.random.default_rng(seed).permutation(len(filters))]
    return {"decoder": filters, "encoder": -filters, "usage": np.linspace(0, 0.2, 256, dtype=np.float32)}


def tree_model() -> Tensors:
    """The 71 units of the lecture. A unit inhibits all but its own branch, and is active with nobody outside it."""
    depth = np.array([0] + 10 * [1] + 20 * [2] + 40 * [3])
    filters = gabors(np.arange(71) * 37.0 % 180, 0.05 * 1.5**depth)
    branch = np.eye(71, dtype=bool)
    for unit in range(71):
        above = PARENT[unit]
        while above >= 0:
            branch[unit, above] = branch[above, unit] = True
            above = PARENT[above]
    return {
        "decoder": filters,
        "usage": (0.5**depth).astype(np.float32),
        "parent": PARENT,
        "inhibition": (~branch).astype(np.float32),
        "coactivation": np.where(branch, 0.1, 0.02).astype(np.float32),
    }


@pytest.fixture(scope="module")
def shelf(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    client = connect(store_url)
    client.flushall()
    shelf = Shelf(JobStore(client, Settings()), Artifacts(tmp_path_factory.mktemp("data")))
    torus = {"layout": "torus", "height": 16, "width": 16}
    pools = {"kind": "pools", "layout": "torus"}
    shelf.publish("smooth", torus_model(), pools, map=torus, invariance=INVARIANCE)
    shelf.publish("shuffled", torus_model(seed=0), pools, map=torus, invariance=None)
    shelf.publish("tree", tree_model(), {"kind": "inhibition", "structure": {"kind": "tree"}}, map=None)
    bare = torus_model()
    shelf.publish("plain", {name: bare[name] for name in ("decoder", "usage")}, {"kind": "l1"})
    ring = {"layout": "ring", "height": 1, "width": 256}
    shelf.publish("parts", planted(), {"kind": "l1"}, class_names=["noughts", "ones", "twos"])
    shelf.publish("unlabelled", planted(classes=0), {"kind": "l1"})
    shelf.publish("ring", bare, {"kind": "pools", "layout": "ring"}, map=ring)
    yield shelf
    client.flushall()
    client.close()


@pytest.fixture(scope="module")
def server(shelf: Shelf, store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """The server alone, whose home cannot be written, as in a container with a read-only file system."""
    home = tmp_path_factory.mktemp("home") / "nothing"
    home.write_text("")
    environment = os.environ | {
        "PINWHEEL_REDIS_URL": store_url,
        "PINWHEEL_DATA_DIR": str(shelf.artifacts.root),
        "HOME": str(home),
    }
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("XDG_CONFIG_HOME", None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(line, env=environment, cwd=Path(__file__).parents[2])
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            _wait(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def _wait(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")


def asked(server: httpx2.Client, address: str, **more: Any) -> httpx2.Response:
    answer = server.get(f"/v1/models/{address}", **more)
    assert answer.status_code == 200, answer.text
    return answer


def drawing_in(answer: httpx2.Response) -> ElementTree.Element:
    assert answer.headers["content-type"] == "image/svg+xml"
    return ElementTree.fromstring(answer.content)  # noqa: S314  from our own server


def test_a_model_lists_the_maps_that_it_has(server: httpx2.Client) -> None:
    names = ("smooth", "shuffled", "tree", "plain", "ring", "parts")
    assert {name: list(asked(server, name).json()["maps"]) for name in names} == {
        "smooth": ["topography", "orientation", "usage", "invariance"],
        "shuffled": ["topography", "orientation", "usage"],
        "tree": ["inhibition", "tree", "usage"],
        "plain": ["usage"],
        "ring": ["topography", "usage"],
        "parts": ["units", "usage"],
    }
    assert asked(server, "smooth").json()["maps"]["usage"] == "/v1/models/smooth@1/maps/usage"


def test_every_map_that_is_listed_comes_in_every_format(server: httpx2.Client) -> None:
    seen = set()
    for name in ("smooth", "tree", "ring", "parts"):
        for kind, address in asked(server, name).json()["maps"].items():
            seen.add(kind)
            picture = server.get(address)
            assert picture.headers["content-type"] == "image/png"
            image = Image.open(io.BytesIO(picture.content))
            assert image.mode == "RGB"
            assert (image.info["model"], image.info["map"], image.info["step"]) == (name, kind, "7")
            assert len(image.getcolors(maxcolors=image.width * image.height) or []) > 10
            drawing = drawing_in(server.get(f"{address}?format=svg"))
            assert drawing.tag == f"{SVG}svg"
            assert (float(drawing.attrib["width"]), float(drawing.attrib["height"])) == image.size
            numbers = server.get(f"{address}?format=json").json()
            assert (numbers["object"], numbers["kind"], numbers["model"]) == ("map", kind, name)
    assert seen == set(KINDS)


def test_the_format_follows_accept_and_unknown_ones_are_refused(server: httpx2.Client) -> None:
    here = "smooth/maps/usage"
    for accept, given in (
        ("image/svg+xml", "image/svg+xml"),
        ("application/json", "application/json"),
        ("*/*", "image/png"),
    ):
        answer = asked(server, here, headers={"Accept": accept})
        assert answer.headers["content-type"] == given
        assert answer.headers["vary"] == "Accept"
    refused = server.get(f"/v1/models/{here}?format=webp")
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert server.get(f"/v1/models/{here}", headers={"Accept": "text/html"}).status_code == 406


def test_a_picture_is_the_same_every_time_and_an_address_with_a_version_is_kept_for_ever(server: httpx2.Client) -> None:
    tags = set()
    for kind in ("topography", "orientation", "usage", "invariance"):
        for format in ("png", "svg", "json"):
            here = f"smooth@1/maps/{kind}?format={format}"
            first, second = asked(server, here), asked(server, here)
            assert first.content == second.content
            assert "immutable" in first.headers["cache-control"]
            tags.add(first.headers["etag"])
            known = {"If-None-Match": first.headers["etag"]}
            assert server.get(f"/v1/models/{here}", headers=known).status_code == 304
    assert len(tags) == 12
    assert asked(server, "smooth/maps/usage").headers["cache-control"] == "no-cache"
    assert asked(server, "smooth/maps/usage").headers["x-model"] == "smooth@1"


def test_a_map_that_a_model_lacks_is_not_found_and_those_it_has_are_named(server: httpx2.Client) -> None:
    answer = server.get("/v1/models/plain/maps/topography")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "plain@1 has: usage" in answer.json()["detail"]
    assert answer.json()["available"] == ["usage"]


@pytest.mark.parametrize("kind", ["orientations", "unit", "topografy"])
def test_an_unknown_kind_is_refused_with_all_kinds_and_those_of_the_model(server: httpx2.Client, kind: str) -> None:
    answer = server.get(f"/v1/models/tree/maps/{kind}")
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert f"{kind!r}; there are: {', '.join(KINDS)}" in detail
    assert "tree@1 has: inhibition, tree, usage" in detail


def test_misspelt_parameters_and_missing_models_are_refused(server: httpx2.Client) -> None:
    assert server.get("/v1/models/smooth/maps/usage?fromat=png").status_code == 422
    assert server.get("/v1/models/nothing/maps/usage").status_code == 404
    assert server.get("/v1/models/smooth@9/maps/usage").status_code == 404


def test_files_that_are_gone_are_an_answer_and_not_a_crash(server: httpx2.Client, shelf: Shelf) -> None:
    shelf.publish("lost", torus_model(), {"kind": "l1"})
    shelf.artifacts.remove(shelf.artifacts.model("lost", 1))
    assert server.get("/v1/models/lost/maps/usage").status_code == 404
    assert server.get("/v1/models/lost/filters").status_code == 404


def test_a_smooth_map_has_similar_neighbours_and_a_shuffled_one_has_not(server: httpx2.Client) -> None:
    smooth, shuffled = (asked(server, f"{name}/maps/topography?format=json").json() for name in ("smooth", "shuffled"))
    difference = "neighbour_orientation_difference_deg"
    assert smooth[difference] < 15
    assert shuffled[difference] == pytest.approx(45, abs=3)
    assert smooth["neighbour_frequency_difference_octaves"] < 0.5 * shuffled["neighbour_frequency_difference_octaves"]
    for name in ("random_pairs_orientation_difference_deg", "random_pairs_frequency_difference_octaves"):
        assert smooth[name] == pytest.approx(shuffled[name], rel=1e-6)
    assert smooth["random_pairs_orientation_difference_deg"] == pytest.approx(45, abs=3)


def test_topography_says_where_every_unit_lies(server: httpx2.Client) -> None:
    found = asked(server, "smooth/maps/topography?format=json").json()
    assert found["map"] == {"layout": "torus", "height": 16, "width": 16, "wrap": True}
    assert [(unit["unit"], unit["row"], unit["column"]) for unit in found["units"][15:18]] == [
        (15, 0, 15), (16, 1, 0), (17, 1, 1),
    ]  # fmt: skip
    statistics = asked(server, "smooth/filters?format=json").json()["units"]
    for unit, row in zip(found["units"], statistics, strict=True):
        assert (unit["orientation_deg"], unit["frequency"]) == (row["orientation_deg"], row["frequency"])


def test_an_orientation_map_has_its_pinwheels_and_the_same_units_shuffled_as_a_control(server: httpx2.Client) -> None:
    smooth, shuffled = (asked(server, f"{name}/maps/orientation?format=json").json() for name in ("smooth", "shuffled"))
    assert smooth["map"] == {"layout": "torus", "height": 16, "width": 16, "wrap": True}
    assert (smooth["num_positive"], smooth["num_negative"]) == (2, 2)
    assert sorted(pinwheel["sign"] for pinwheel in smooth["pinwheels"]) == [-1, -1, 1, 1]
    difference = "neighbour_orientation_difference_deg"
    for control in (shuffled, smooth["shuffled"]):
        assert control["num_pinwheels"] > 20
        assert control[difference] == pytest.approx(45, abs=3)
    assert smooth[difference] < 15
    assert smooth["spacing_units"] is None  # one column on the whole map
    assert [list(unit) for unit in smooth["units"][::255]] == [
        ["unit", "row", "column", "orientation_deg", "selectivity", "frequency"]
    ] * 2
    last = smooth["units"][255]
    assert (last["unit"], last["row"], last["column"]) == (255, 15, 15)
    other = asked(server, "smooth/maps/topography?format=json").json()["units"]
    for unit, row in zip(smooth["units"], other, strict=True):
        assert abs((unit["orientation_deg"] - row["orientation_deg"] + 90) % 180 - 90) < 3


def test_a_ring_has_no_pinwheels_to_show(server: httpx2.Client) -> None:
    answer = server.get("/v1/models/ring/maps/orientation")
    assert (answer.status_code, answer.json()["available"]) == (404, ["topography", "usage"])


def test_inhibition_tells_how_often_inhibited_pairs_are_active_together(server: httpx2.Client) -> None:
    found = asked(server, "tree/maps/inhibition?format=json").json()
    assert (found["units"], found["symmetric"], found["min"], found["max"]) == (71, True, 0, 1)
    assert found["coactivation"]["inhibited"] == pytest.approx(0.02)
    assert found["coactivation"]["free"] == pytest.approx(0.1)
    assert found["coactivation"]["ratio"] == pytest.approx(0.2)
    assert found["coactivation"]["correlation"] == pytest.approx(-1)
    # The root inhibits nobody; a leaf all but itself and the three above it.
    assert found["row_sum"] == {"mean": pytest.approx(2 * 2315 / 71), "min": 0, "max": 67}
    assert found["free_pairs"] == 70 + 60 + 40
    for example in found["examples"]:
        assert example["unit"] not in example["partners"]
        assert example["inhibition"] == [1] * 6


def test_the_tree_is_given_with_depths_and_usage_that_falls(server: httpx2.Client) -> None:
    found = asked(server, "tree/maps/tree?format=json").json()
    assert found["parent"] == PARENT.tolist()
    assert found["depth"] == [0] + 10 * [1] + 20 * [2] + 40 * [3]
    assert found["by_depth"] == [
        {"depth": 0, "units": 1, "usage": 1.0},
        {"depth": 1, "units": 10, "usage": 0.5},
        {"depth": 2, "units": 20, "usage": 0.25},
        {"depth": 3, "units": 40, "usage": 0.125},
    ]
    assert found["falls"] is True
    assert found["trees"] == 1


def test_invariance_is_what_the_model_says_of_itself(server: httpx2.Client) -> None:
    found = asked(server, "smooth/maps/invariance?format=json").json()
    assert {name: found[name] for name in INVARIANCE} == INVARIANCE


def test_usage_counts_the_units_that_are_never_used(server: httpx2.Client) -> None:
    found = asked(server, "smooth/maps/usage?format=json").json()
    assert found["dead_units"] == 1
    assert len(found["usage"]) == 256
    assert found["quantiles"]["0.5"] == pytest.approx(0.1)


def test_units_tell_parts_from_categories(server: httpx2.Client) -> None:
    found = asked(server, "parts/maps/units?format=json").json()
    assert found["counts"] == {"part": 6, "intermediate": 2, "categorical": 3, "dead": 1}
    assert (found["part_below_rad"], found["categorical_above_rad"]) == (0.5, 0.7)
    assert [unit["class"] for unit in found["units"][6:]] == [0, 0, 0, 1, 2, None]
    assert found["correlation"] == {"part_to_part": pytest.approx(-1), "categorical_to_part": pytest.approx(-1)}
    without = asked(server, "unlabelled/maps/units?format=json").json()
    assert without["prototypes"] is None
    assert {unit["class"] for unit in without["units"]} == {None}


def test_one_unit_can_be_asked_for_in_every_format(server: httpx2.Client) -> None:
    here = "parts@1/maps/units?unit=9"
    whole, one, other = (asked(server, address) for address in ("parts@1/maps/units", here, here.replace("9", "3")))
    assert len({whole.headers["etag"], one.headers["etag"], other.headers["etag"]}) == 3
    assert len({whole.content, one.content, other.content}) == 3
    assert "immutable" in one.headers["cache-control"]
    known = {"If-None-Match": one.headers["etag"]}
    assert server.get(f"/v1/models/{here}", headers=known).status_code == 304
    image = Image.open(io.BytesIO(one.content))
    drawing = drawing_in(asked(server, f"{here}&format=svg"))
    assert (float(drawing.attrib["width"]), float(drawing.attrib["height"])) == image.size
    numbers = asked(server, f"{here}&format=json").json()
    assert (numbers["object"], numbers["kind"]) == ("map", "units")
    unit = numbers["unit"]
    assert (unit["unit"], unit["kind"], unit["class"], unit["class_weights"]) == (9, "categorical", 1, [0, 2, 0])
    assert len(unit["incoming"]) == 10  # all that are in use


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("parts/maps/units?unit=12", "too_large", "parts@1 has 12 units, 0 to 11, and unit is 12"),
        ("parts/maps/usage?unit=3", "not_allowed", "unit is 3, and the map usage is about all units"),
        ("parts/maps/units?unit=-1", "too_small", "greater than or equal to 0"),
    ],
)
def test_a_unit_that_cannot_be_shown_is_refused(server: httpx2.Client, address: str, code: str, said: str) -> None:
    refused = server.get(f"/v1/models/{address}")
    assert refused.status_code == 422
    (entry,) = refused.json()["errors"]
    assert (entry["pointer"], entry["code"]) == ("#/query/unit", code)
    assert said in entry["detail"]


def test_filters_of_a_map_stand_as_they_lie_on_it(server: httpx2.Client) -> None:
    for order in ("index", "topographic"):
        layout = asked(server, f"smooth/filters?format=json&order={order}").json()["layout"]
        assert (layout["cols"], layout["rows"], layout["order"]) == (16, 16, list(range(256)))
    plain, on_map = asked(server, "smooth/filters"), asked(server, "smooth/filters?order=topographic&cols=16")
    assert Image.open(io.BytesIO(plain.content)).tobytes() == Image.open(io.BytesIO(on_map.content)).tobytes()
    assert asked(server, "smooth/filters?format=json&cols=8").json()["layout"]["cols"] == 8
    ring = asked(server, "ring/filters?format=json&order=topographic").json()
    assert (ring["layout"]["cols"], ring["layout"]["order"], ring["map"]["layout"]) == (16, list(range(256)), "ring")


def test_filters_of_a_tree_can_be_had_level_by_level(server: httpx2.Client) -> None:
    assert asked(server, "tree/filters?format=json&order=topographic").json()["layout"]["order"] == list(range(71))
    refused = server.get("/v1/models/plain/filters?order=topographic")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert "map" in refused.json()["detail"]


def test_the_encoder_is_asked_for_in_vain_where_there_is_none(server: httpx2.Client) -> None:
    refused = server.get("/v1/models/plain/filters?kind=encoder")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert "kind=decoder" in refused.json()["detail"]
    there = np.load(io.BytesIO(asked(server, "smooth/filters?kind=encoder&format=npy").content))
    assert np.array_equal(there, -np.load(io.BytesIO(asked(server, "smooth/filters?format=npy").content)))


def test_filters_as_svg_hold_the_same_pixels_as_the_png(server: httpx2.Client) -> None:
    drawing = drawing_in(asked(server, "tree/filters?format=svg&order=usage&pad=2"))
    image = drawing.find(f"{SVG}image")
    assert image is not None
    assert "image-rendering: pixelated" in image.attrib["style"]
    kind, data = image.attrib["href"].split(",")
    assert kind == "data:image/png;base64"
    inside = Image.open(io.BytesIO(base64.b64decode(data)))
    outside = Image.open(io.BytesIO(asked(server, "tree/filters?order=usage&pad=2").content))
    assert inside.tobytes() == outside.tobytes()
    assert (int(image.attrib["width"]), int(image.attrib["height"])) == outside.size
    titles = [title.text for title in drawing.iter(f"{SVG}title")]
    assert titles[0] == "Filters of tree"
    assert titles[1:3] == ["unit 0, used 100.00% of the time", "unit 1, used 50.00% of the time"]
    assert len(titles) == 72


def test_the_page_of_a_model_has_its_maps_and_no_others(server: httpx2.Client) -> None:
    smooth, plain = (
        server.get(f"/models/{name}", headers={"Accept": "text/html"}).text for name in ("smooth", "plain")
    )
    for kind in ("topography", "orientation", "usage", "invariance"):
        assert f"/v1/models/smooth@1/maps/{kind}" in smooth
    assert "/v1/models/plain@1/maps/usage" in plain
    assert "/v1/models/plain@1/maps/topography" not in plain
    assert 'id="maps"' in server.get("/jobs/job_smooth", headers={"Accept": "text/html"}).text


def test_routes_and_kinds_are_in_the_openapi_document(server: httpx2.Client) -> None:
    route = server.get("/openapi.json").json()["paths"]["/v1/models/{model}/maps/{kind}"]["get"]
    kinds = next(parameter["schema"]["enum"] for parameter in route["parameters"] if parameter["name"] == "kind")
    assert tuple(kinds) == KINDS
    assert {"200", "404", "406", "422"} <= set(route["responses"])
