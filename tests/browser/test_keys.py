"""A service that asks for keys, in a browser that asks its user for one (HTTP Basic, the key as password)."""

from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import FAST, SMALL, npz
from awaited_pages import until
from browsing import watched
from playwright.sync_api import Error

from pinwheel.access import Scope, new_key
from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """A secret, and what the service is told of it."""
    secret, entry = new_key("looker", Scope.TRAIN)
    return secret, str(entry)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key: tuple[str, str]) -> Iterator[Service]:
    environment = FAST | {"PINWHEEL_API_KEYS": key[1]}
    with Service(tmp_path_factory.mktemp("guarded"), port=0, environment=environment) as service:
        yield service


def test_with_the_key_everything_works_live_too(
    browser: Any, guarded: Service, key: tuple[str, str], digits: Digits
) -> None:
    with httpx2.Client(base_url=guarded.url, headers={"X-API-Key": key[0]}, trust_env=False) as http:
        http.post("/v1/datasets?name=few", content=npz(images=digits[0][:300], labels=digits[1][:300]))
        training = SMALL["training"] | {"epochs": 100}
        body = {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "training": training}
        job = http.post("/v1/jobs", json=body).json()["id"]
    credentials = {"username": "looker", "password": key[0]}
    with watched(browser, guarded.url, http_credentials=credentials) as visit:
        page = visit.page
        page.goto(f"{guarded.url}/jobs/{job}")
        until(page, "Number(document.querySelector('#filters').dataset.step) > 0", 60)
        until(page, "document.querySelectorAll('.curve svg').length > 3", 30)
        page.click("[data-action=pause]")
        until(page, "document.querySelector('#state').textContent === 'paused'", 30)
        page.click("[data-action=cancel]")
        until(page, "document.querySelector('#state').textContent === 'cancelled'", 30)
        page.goto(f"{guarded.url}/new#recipe=drsae")
        until(page, "document.querySelector('#dataset').options.length > 0")
        visit.check_clean()


def test_without_a_key_no_page_is_shown(browser: Any, guarded: Service) -> None:
    with watched(browser, guarded.url) as visit, pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        visit.page.goto(f"{guarded.url}/")
