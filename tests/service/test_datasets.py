"""Data sets in every format that people have, through the real server."""

import gzip
import io
import struct
import zipfile
from typing import Any

import httpx2
import numpy as np
from asking import npy, npz
from PIL import Image

Digits = tuple[np.ndarray, np.ndarray]


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", side) for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def created(answer: httpx2.Response, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    record: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{record['id']}"
    assert (record["object"], record["status"]) == ("dataset", "ready")
    return record


def test_idx_files_are_taken_as_they_are(http: httpx2.Client, digits: Digits) -> None:
    files = {
        "images": ("train-images-idx3-ubyte.gz", gzip.compress(idx(digits[0][:60]))),
        "labels": ("train-labels-idx1-ubyte", idx(digits[1][:60])),
    }
    record = created(http.post("/v1/datasets?name=idx", files=files))
    assert record["images"] == {"count": 60, "shape": [28, 28, 1], "dtype": "uint8", "variable_size": False}
    assert (record["labels"]["count"], record["labels"]["classes"]) == (60, int(digits[1][:60].max()) + 1)
    assert record["digest"].startswith("sha256:")
    assert record["links"]["preview"] == f"/v1/datasets/{record['id']}/preview"


def test_the_same_content_is_kept_once_whatever_its_format(http: httpx2.Client, digits: Digits) -> None:
    body = npz(images=digits[0][60:90], labels=digits[1][60:90])
    first = created(http.post("/v1/datasets?name=same", content=body))
    again = created(http.post("/v1/datasets?name=same", content=body), 200)
    assert again["id"] == first["id"]
    files = {"images": ("i", idx(digits[0][60:90])), "labels": ("l", idx(digits[1][60:90]))}
    as_idx = created(http.post("/v1/datasets", params={"name": "same"}, files=files), 200)
    assert as_idx["id"] == first["id"]


def test_an_array_without_labels(http: httpx2.Client, digits: Digits) -> None:
    record = created(http.post("/v1/datasets?name=plain-npy", content=npy(digits[0][90:100])))
    assert record["labels"] is None
    assert record["images"]["count"] == 10


def test_a_zip_of_folders_gives_labels(http: httpx2.Client, digits: Digits) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(20):
            archive.writestr(f"digits/{digits[1][number]}/{number}.png", png(digits[0][number]))
    record = created(http.post("/v1/datasets?name=folders", content=out.getvalue()))
    assert record["images"]["count"] == 20
    assert record["labels"]["classes"] == len(set(digits[1][:20].tolist()))


def test_single_images_and_many_as_multipart(http: httpx2.Client, digits: Digits) -> None:
    one = created(http.post("/v1/datasets?name=one", content=png(digits[0][7]), headers={"Content-Type": "image/png"}))
    assert one["images"]["count"] == 1
    files = [("file", (f"{number}.png", png(digits[0][number]), "image/png")) for number in range(5)]
    many = created(http.post("/v1/datasets", data={"name": "many"}, files=files))
    assert (many["name"], many["images"]["count"]) == ("many", 5)


def test_options_may_come_as_json(http: httpx2.Client, digits: Digits) -> None:
    files = [("file", ("1.png", png(digits[0][11]), "image/png"))]
    record = created(http.post("/v1/datasets", data={"options": '{"name": "opted", "color": "rgb"}'}, files=files))
    assert (record["name"], record["images"]["shape"]) == ("opted", [28, 28, 3])
    refused = http.post("/v1/datasets", data={"options": '{"colour": "rgb"}'}, files=files)
    assert refused.status_code == 422
    assert "'color'" in refused.json()["detail"]
    assert http.post("/v1/datasets", data={"options": "[1]"}, files=files).status_code == 400
    body = {"source": {"type": "builtin", "name": "digits-test"}, "options": {"name": "renamed"}}
    assert http.post("/v1/datasets", json=body).json()["name"] == "renamed"


def test_vectors_are_data_too(http: httpx2.Client) -> None:
    vectors = np.random.default_rng(0).standard_normal((12, 9)).astype(np.float32)
    record = created(http.post("/v1/datasets?name=vectors", content=npy(vectors)))
    assert record["images"] == {"count": 12, "shape": [1, 9, 1], "dtype": "float32", "variable_size": False}


def test_built_in_data_sets(http: httpx2.Client) -> None:
    def builtin(name: str) -> dict[str, Any]:
        answer = http.post("/v1/datasets", json={"source": {"type": "builtin", "name": name}})
        assert answer.status_code in (200, 201), answer.text
        record: dict[str, Any] = answer.json()
        return record

    digits, test, photos, small = (builtin(name) for name in ("digits", "digits-test", "photos", "photos-small"))
    assert (digits["name"], digits["images"]["count"], digits["labels"]["classes"]) == ("digits", 20_000, 10)
    assert (test["name"], test["images"]["count"]) == ("digits-test", 2000)
    for found in (photos, small):
        assert (found["images"]["count"], found["images"]["variable_size"]) == (8, True)
    refused = http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "cats"}})
    assert refused.status_code == 422
    assert "cats" in refused.json()["detail"]
    assert "digits" in refused.json()["detail"]


def test_one_image_is_given_exactly_and_as_a_picture(http: httpx2.Client, few_digits: str, digits: Digits) -> None:
    here = f"/v1/datasets/{few_digits}/images"
    exact = http.get(f"{here}/17?format=npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(exact.content))[..., 0], digits[0][17])
    picture = http.get(f"{here}/17?format=png")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.content))), digits[0][17])
    assert http.get(f"{here}/17", headers={"If-None-Match": picture.headers["ETag"]}).status_code == 304
    for row in (500, -1):
        missing = http.get(f"{here}/{row}")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        assert "0 to 499" in missing.json()["detail"]
    assert http.get(f"{here}/first").status_code == 422
    assert http.get(f"{here}/1?format=tiff").status_code == 406


def test_an_image_of_its_own_size_is_cut_out_of_the_others(http: httpx2.Client) -> None:
    images = [np.arange(height * width, dtype=np.uint8).reshape(height, width) for height, width in ((4, 9), (7, 3))]
    files = [("file", (f"{number}.png", png(image))) for number, image in enumerate(images)]
    record = created(http.post("/v1/datasets", files=files))
    for row, image in enumerate(images):
        found = np.load(io.BytesIO(http.get(f"/v1/datasets/{record['id']}/images/{row}?format=npy").content))
        np.testing.assert_array_equal(found[..., 0], image)


def test_an_image_without_colors_is_no_picture(http: httpx2.Client) -> None:
    record = created(http.post("/v1/datasets?layout=NHWC", content=npy(np.zeros((2, 4, 4, 2), np.uint8))))
    refused = http.get(f"/v1/datasets/{record['id']}/images/0")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert "2 channels" in refused.json()["detail"]


def test_a_preview_is_a_picture(http: httpx2.Client, few_digits: str) -> None:
    answer = http.get(f"/v1/datasets/{few_digits}/preview?count=16")
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert min(picture.size) > 4 * 28


def test_a_data_set_is_found_by_name_and_deleted_with_its_files(http: httpx2.Client, service: Any) -> None:
    record = created(http.post("/v1/datasets?name=brief-one", content=npy(np.ones((2, 6, 6), np.uint8))))
    assert http.get("/v1/datasets/brief-one").json()["id"] == record["id"]
    assert http.get(f"/v1/datasets/{record['id']}").json() == record
    assert http.delete(f"/v1/datasets/{record['id']}").status_code == 204
    assert not (service.data_dir / "datasets" / record["id"]).exists()
    missing = http.get(f"/v1/datasets/{record['id']}")
    assert missing.status_code == 404
    assert http.delete(f"/v1/datasets/{record['id']}").status_code == 404
