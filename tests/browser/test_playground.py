"""The playground in Chromium: an image goes in, and one sees what fires, what is rebuilt, and the call itself."""

import base64
import io
from typing import Any

import httpx2
import numpy as np
from asking import wait_for
from browsing import Visit, Watched
from PIL import Image
from playwright.sync_api import expect

Digits = tuple[np.ndarray, np.ndarray]


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def drop(watched: Watched, content: bytes, name: str = "image.png", kind: str = "image/png") -> None:
    """As if a file were dropped on the page."""
    held = watched.page.evaluate_handle(
        "([bytes, name, type]) => { const all = new DataTransfer(); "
        "all.items.add(new File([new Uint8Array(bytes)], name, { type })); return all; }",
        [list(content), name, kind],
    )
    watched.page.dispatch_event("#drop", "drop", {"dataTransfer": held})


def pixels(watched: Watched, canvas: str) -> np.ndarray:
    address = watched.page.locator(canvas).evaluate("canvas => canvas.toDataURL('image/png')")
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.asarray(picture.convert("RGBA")).astype(int)


def settled(watched: Watched) -> None:
    expect(watched.page.locator("#results")).to_be_visible()
    expect(watched.page.locator("#status")).to_be_empty()
    watched.page.wait_for_load_state("networkidle")


def test_a_dropped_image_is_rebuilt_and_the_slider_changes_it(
    visit: Visit, trained: dict[str, Any], http: httpx2.Client, digits: Digits
) -> None:
    watched = visit("/playground?model=digits-36", color_scheme="dark")
    page, body = watched.page, png(digits[0][3])
    drop(watched, body)
    settled(watched)
    np.testing.assert_array_equal(pixels(watched, "#original")[..., 0], digits[0][3])
    whole = http.post("/v1/models/digits-36/reconstruct?format=json", content=body).json()
    expected = np.clip(np.array(whole["data"][0])[..., 0], 0, 1) * 255
    assert np.abs(pixels(watched, "#rebuilt")[..., 0] - expected).max() <= 1
    page.locator("#topk").fill("0")
    expect(page.locator("#topk-shown")).to_have_text("the 1 strongest")
    expect(page.locator("#rebuilt-from")).to_have_text("the 1 strongest")
    one = http.post("/v1/models/digits-36/reconstruct?format=json&topk=1", content=body).json()
    expect(page.locator("#unexplained")).to_have_text(
        f"{one['unexplained_variance'][0] * 100:.3g} % unexplained variance"
    )
    expected = np.clip(np.array(one["data"][0])[..., 0], 0, 1) * 255
    assert np.abs(pixels(watched, "#rebuilt")[..., 0] - expected).max() <= 1
    assert "topk=1" in page.locator("#curl-code").inner_text()
    watched.check_accessible()
    watched.check_fits()
    watched.check_clean()


def test_the_strongest_units_and_classes_are_those_of_the_api(
    visit: Visit, trained: dict[str, Any], http: httpx2.Client, digits: Digits
) -> None:
    watched = visit("/playground?model=digits-36@1")
    body = png(digits[0][8])
    drop(watched, body)
    settled(watched)
    features = np.array(http.post("/v1/models/digits-36/encode", content=body).json()["data"][0])
    shown = watched.page.locator("#units button").evaluate_all("all => all.map((each) => Number(each.dataset.unit))")
    assert shown == np.argsort(-np.abs(features), kind="stable")[: len(shown)].tolist()
    told = http.post("/v1/models/digits-36/classify", content=body).json()
    assert watched.page.locator("#classes li span span").first.inner_text() == str(told["predictions"][0])
    first = watched.page.locator("#units button").first
    first.press("Enter")
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(watched.page.get_by_role("link", name=f"All about unit {shown[0]}")).to_be_visible()
    watched.check_clean()


def test_passes_change_what_fires_and_the_call(visit: Visit, trained: dict[str, Any], http: httpx2.Client) -> None:
    watched = visit("/playground?model=digits-36")
    page = watched.page
    page.get_by_role("button", name="An example from").click()
    settled(watched)
    before = page.locator("#units").inner_text()
    page.locator("#passes").fill("1")
    expect(page.locator("#curl-code")).to_contain_text("passes=1")
    settled(watched)
    assert page.locator("#units").inner_text() != before
    expect(page.locator("#python-code")).to_contain_text('model.encode("image.png", passes=1)')
    watched.check_clean()


def test_an_image_of_another_size_is_resized_only_once_the_user_says_how(visit: Visit, trained: dict[str, Any]) -> None:
    watched = visit("/playground?model=digits-36", viewport={"width": 390, "height": 844})
    page, color = watched.page, np.zeros((50, 80, 3), np.uint8)
    color[:, 20:60] = (200, 30, 90)
    drop(watched, png(color))
    expect(page.locator("#resize-text")).to_contain_text("80 × 50 pixels and the model takes 28 × 28")
    expect(page.locator("#results")).to_be_hidden()
    page.get_by_role("button", name="Show all of it").click()
    settled(watched)
    found = pixels(watched, "#original")
    assert found.shape == (28, 28, 4)
    assert (found[..., 0] == found[..., 1]).all()
    assert abs(int(found[14, 14, 0]) - (0.299 * 200 + 0.587 * 30 + 0.114 * 90)) <= 1
    assert found[0, 14, 0] == 0
    expect(page.locator("#done")).to_contain_text("resized from 80 × 50 with a border, grey")
    watched.check_fits()
    watched.check_accessible()
    watched.check_clean()


def test_what_is_no_image_is_refused_in_words(visit: Visit, trained: dict[str, Any]) -> None:
    watched = visit("/playground?model=digits-36")
    drop(watched, b"not an image", "notes.txt", "text/plain")
    expect(watched.page.get_by_role("alert")).to_contain_text("no image that the browser can read")
    watched.check_clean()


def test_an_image_is_pasted(visit: Visit, trained: dict[str, Any], digits: Digits) -> None:
    watched = visit("/playground?model=digits-36")
    watched.page.evaluate(
        "bytes => { const held = new DataTransfer(); "
        "held.items.add(new File([new Uint8Array(bytes)], 'pasted.png', { type: 'image/png' })); "
        "document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: held, bubbles: true })); }",
        list(png(digits[0][8])),
    )
    settled(watched)
    np.testing.assert_array_equal(pixels(watched, "#original")[..., 0], digits[0][8])
    watched.check_clean()


def test_where_a_kernel_fires_is_drawn_over_the_image(
    visit: Visit, http: httpx2.Client, few_digits: str, digits: Digits
) -> None:
    model = {"connection": {"units": 8, "kernel_size": 7}, "encoder": {"solver": {"max_iterations": 3}}}
    body = {"type": "train", "recipe": "conv-group", "dataset": few_digits, "model": model | {"output": "code"}}
    body |= {"preprocessing": {"patch_size": None, "patches_per_image": None}, "publish_as": "kernels"}
    job = http.post("/v1/jobs", json=body | {"training": {"epochs": 1, "batch_size": 100, "previews": 1}}).json()
    assert wait_for(http, job["id"])["status"] == "succeeded"
    watched = visit("/playground?model=kernels@1")
    drop(watched, png(digits[0][3]))
    settled(watched)
    features = http.post("/v1/models/kernels/encode?format=npy", content=png(digits[0][3]))
    code = np.load(io.BytesIO(features.content)).reshape(22, 22, 8)
    strongest = int(np.abs(code).max(axis=(0, 1)).argmax())
    watched.page.click(f'#units button[data-unit="{strongest}"]')
    expect(watched.page.locator("#fires")).to_contain_text(f"{strongest}")
    over = pixels(watched, "#heat")[..., 3] > 0
    assert over.any()
    assert not over.all()
    row, column = np.unravel_index(np.abs(code[..., strongest]).argmax(), (22, 22))
    scale = over.shape[0] / 28
    assert over[int((row + 3) * scale + scale / 2), int((column + 3) * scale + scale / 2)]
    watched.check_clean()
