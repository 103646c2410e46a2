"""Every page as it looked when somebody last looked at it, in light and in dark.

`PINWHEEL_GOLDEN=write pytest -n 0 tests/browser/test_golden.py` takes the pictures anew: look at every one of them
before they are committed. They are kept at half their size. Ids, times and fonts differ from run to run and from
machine to machine, so what is compared is the mean of every block of 20 × 20 pixels.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import FAST, SMALL, npz, succeeded, wait_for
from awaited_pages import until
from browsing import watched
from PIL import Image

from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
GOLDEN = Path(__file__).with_name("golden")
WIDTH, HEIGHT, BLOCK = 1280, 1100, 20
MOST_MEAN, MOST_BLOCKS, FAR = 4.0, 0.04, 40.0  # of 255; the share of blocks that may be further than FAR
FILTERS = "document.querySelector('#filters').dataset.step === '600' && document.querySelectorAll('.curve svg')[3]"
SHEET = "document.querySelector('#inspector img')?.naturalWidth > 1"
PAGES: dict[str, tuple[str, str]] = {
    "wall": ("/", "document.querySelector('[data-pictured]') !== null"),
    "new": ("/new#recipe=drsae", "!document.querySelector('#submit').disabled"),
    "job": ("/jobs/{job}", FILTERS),
    "failed": ("/jobs/{failed}", "document.querySelector('[data-action=retry]') !== null"),
    "models": ("/models", "true"),
    "model": ("/models/golden@1?unit=3", SHEET),
    "playground": ("/playground?model=golden@1", "true"),
    "data": ("/data", "true"),
    "system": ("/system", "document.body.innerText.includes('encode')"),
    "docs": ("/docs", "true"),
}


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, with the same few things in it every time."""
    with Service(tmp_path_factory.mktemp("still"), port=0, environment=FAST) as service:
        yield service


@pytest.fixture(scope="module")
def there(still: Service, digits: Digits) -> dict[str, str]:
    with httpx2.Client(base_url=still.url, timeout=60, trust_env=False) as http:
        body = npz(images=digits[0][:500], labels=digits[1][:500])
        dataset = http.post("/v1/datasets?name=few-digits", content=body).json()["id"]
        job: dict[str, Any] = {"type": "train", "recipe": "drsae", "dataset": dataset, **SMALL}
        job |= {"publish_as": "golden", "name": "golden", "training": SMALL["training"] | {"epochs": 60}}
        trained = succeeded(http, job)
        wild = {"model": {"encoder": {"passes": 60, "rate_multiplier": 100.0}}, "training": {"learning_rate": 10.0}}
        failed = wait_for(http, http.post("/v1/jobs", json=job | wild | {"name": "too fast"}).json()["id"])
        assert failed["status"] == "failed"
    return {"job": trained["id"], "failed": failed["id"]}


def blocks(picture: Image.Image) -> np.ndarray:
    small = picture.convert("RGB").resize((WIDTH // BLOCK, HEIGHT // BLOCK), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_looks_as_it_did(browser: Any, still: Service, there: dict[str, str], name: str, scheme: str) -> None:
    path, ready = PAGES[name]
    options = {"viewport": {"width": WIDTH, "height": HEIGHT}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with watched(browser, still.url, **options) as visit:
        page = visit.go(path.format(**there))
        until(page, ready)
        page.wait_for_timeout(300)
        page.evaluate("scrollTo(0, 0)")
        seen = Image.open(io.BytesIO(page.screenshot()))
        visit.check_clean()
    kept = GOLDEN / f"{name}-{scheme}.png"
    if os.environ.get("PINWHEEL_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        half = seen.convert("RGB").resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX)
        half.quantize(64).save(kept, optimize=True)
    differences = np.abs(blocks(seen) - blocks(Image.open(kept))).mean(axis=2)
    far = float((differences > FAR).mean())
    assert differences.mean() <= MOST_MEAN, f"{name} looks otherwise: {differences.mean():.1f} on average"
    assert far <= MOST_BLOCKS, f"{far:.1%} of {name} look otherwise"
