"""The page of a model, and an image of one's own through it."""

import io
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
from awaited_pages import until
from PIL import Image

Open = Callable[..., Any]
DROP = """async ([name, bytes]) => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
    document.querySelector('#drop').dispatchEvent(new DragEvent('drop', {bubbles: true, dataTransfer: files}));
}"""


def test_a_click_on_a_filter_shows_its_numbers_and_patches(
    opened: Open, http: httpx2.Client, trained: dict[str, Any]
) -> None:
    model = trained["model"]
    page = opened(f"/models/{model}")
    until(page, "document.querySelector('#sheet-picture').naturalWidth > 0")
    layout = http.get(f"/v1/models/{model}/filters?order=usage&scale=1&format=json").json()["layout"]
    box = page.query_selector("#sheet").bounding_box()
    page.click("#sheet", position={"x": box["width"] * 1.5 / layout["cols"], "y": box["height"] * 0.5 / layout["rows"]})
    unit = layout["order"][1]
    until(page, f"document.querySelector('#inspector').dataset.unit === '{unit}'")
    told = http.get(f"/v1/models/{model}/filters/{unit}?format=json").json()
    assert f"{100 * told['usage']:.4g} %" in page.inner_text("#inspector .facts")
    until(page, "document.querySelector('.patches').naturalWidth > 28")
    until(page, "document.querySelectorAll('.bars tr').length === 10")
    assert page.url.endswith(f"#unit={unit}")
    page.focus("#sheet")
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('#inspector').dataset.unit === '{layout['order'][2]}'")
    page.click(".chip >> nth=0")
    until(page, f"document.querySelector('#inspector').dataset.unit !== '{layout['order'][2]}'")


def test_the_address_of_a_unit_opens_it(opened: Open, trained: dict[str, Any]) -> None:
    page = opened(f"/models/{trained['model']}#unit=7&order=index")
    until(page, "document.querySelector('#inspector').dataset.unit === '7'")
    assert page.input_value("[name=order]") == "index"
    assert not page.is_hidden("#sheet-mark")
    page.fill("[name=unit]", "9")
    page.press("[name=unit]", "Enter")
    until(page, "document.querySelector('#inspector').dataset.unit === '9'")


def test_a_dropped_image_is_resized_and_reconstructed(
    opened: Open, http: httpx2.Client, trained: dict[str, Any], digits: tuple[np.ndarray, np.ndarray]
) -> None:
    model = trained["model"]
    out = io.BytesIO()
    Image.fromarray(digits[0][0].reshape(28, 28)).resize((112, 84)).save(out, "PNG")
    page = opened(f"/playground?model={model}")
    until(page, f"document.querySelector('#model').value === '{model}'")
    page.evaluate(DROP, ["digit.png", list(out.getvalue())])
    until(page, "document.querySelectorAll('#units .strong').length > 3")
    assert "112 × 84 to 28 × 28" in page.inner_text("#resized")
    pixels = page.evaluate("""() => { const {width, height} = document.querySelector('#reconstruction');
        const data = document.querySelector('#reconstruction').getContext('2d').getImageData(0, 0, width, height).data;
        return [width, height, new Set(data).size]; }""")
    assert pixels[:2] == [28, 28]
    assert pixels[2] > 10
    assert len(page.query_selector_all("#classes .strong")) == 10
    before = page.inner_text("#unexplained")
    page.evaluate("""() => { const bar = document.querySelector('#passes'); bar.value = 1;
        bar.dispatchEvent(new Event('input', {bubbles: true})); }""")
    until(page, f"document.querySelector('#unexplained').textContent !== '{before}'")
    assert "passes=1" in page.inner_text("#snippets")
    page.set_input_files("#file", {"name": "no.png", "mimeType": "image/png", "buffer": b"no image"})
    until(page, "document.querySelector('#refused').textContent.includes('cannot read')")


def test_a_model_is_deleted_after_a_question(opened: Open, http: httpx2.Client, trained: dict[str, Any]) -> None:
    page = opened(f"/models/{trained['model']}")
    page.click("#delete")
    page.click("dialog button[value=keep]")
    assert page.is_hidden("dialog")
    assert http.get(f"/v1/models/{trained['model']}").status_code == 200
