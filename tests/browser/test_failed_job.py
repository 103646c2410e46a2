"""A job that failed says why, and how to go on from what it left."""

from collections.abc import Callable
from typing import Any

import httpx2
from asking import SMALL, wait_for
from awaited_pages import until

Open = Callable[..., Any]
WILD = {"learning_rate": 10.0, "unsupervised_fraction": 1.0, "epochs": 400}


def failed_after_a_checkpoint(http: httpx2.Client, dataset: str) -> str:
    """A training that was calm, and the one that went on from it too fast."""
    calm = {
        "model": {"connection": {"units": 36}, "encoder": {"passes": 60, "rate_multiplier": 100.0}},
        "training": {"epochs": 2, "batch_size": 50, "learning_rate": 1e-6},
    }
    body = {"type": "train", "recipe": "drsae", "dataset": dataset, "keep_checkpoint": True, "publish_as": "too-fast"}
    first = http.post("/v1/jobs", json=body | calm).json()["id"]
    wait_for(http, first)
    second = http.post("/v1/jobs", json={"type": "train", "resume_from": first, "training": WILD}).json()["id"]
    assert wait_for(http, second)["status"] == "failed"
    return str(second)


def test_a_failed_job_says_why_and_a_new_one_goes_on_with_other_settings(
    opened: Open, http: httpx2.Client, few_digits: str, stop_at_the_end: Callable[[str], None]
) -> None:
    failed = failed_after_a_checkpoint(http, few_digits)
    page = opened(f"/jobs/{failed}")
    until(page, "document.querySelector('#state').textContent === 'failed'")
    assert "not a finite number" in page.inner_text("#error")
    assert "resume_from" in page.inner_text("#error")
    assert page.is_visible("[data-action=retry]")
    page.click("[data-action=change]")
    page.wait_for_url(f"**/new#resume_from={failed}")
    until(page, "!document.querySelector('#submit').disabled")
    assert not page.is_visible("#dataset")
    assert not page.is_visible(".recipes")
    page.fill('[data-pointer="#/training/seed"] input', "3")
    complaint = '[data-pointer="#/training/seed"] .complaint'
    until(page, f"""document.querySelector('{complaint}').textContent.includes('cannot become 3')""")
    page.fill('[data-pointer="#/training/seed"] input', "0")
    page.fill('[data-pointer="#/training/learning_rate"] input', "1e-6")
    page.fill('[data-pointer="#/training/epochs"] input', "4")
    until(page, "!document.querySelector('#submit').disabled")
    with page.expect_request(lambda request: request.url.endswith("/v1/jobs")) as sent:
        page.click("#submit")
    assert sent.value.post_data_json == {
        "type": "train",
        "resume_from": failed,
        "training": {"learning_rate": 1e-6, "epochs": 4},
    }
    page.wait_for_url("**/jobs/job_*")
    job = page.get_attribute("#job", "data-job")
    stop_at_the_end(job)
    assert job != failed
    until(page, "document.querySelector('#state').textContent === 'succeeded'", 60)


def test_a_job_of_a_stack_on_a_model_runs_again(
    opened: Open, http: httpx2.Client, trained: dict[str, Any], stop_at_the_end: Callable[[str], None]
) -> None:
    model = {
        "connection": {"kind": "dense", "units": 9},
        "encoder": {"kind": "feedforward", "activation": "relu"},
        "sparsity": {"kind": "l1", "weight": 0.01},
    }
    stage = {"model": model, "training": SMALL["training"]}
    body = {"type": "train", "dataset": trained["dataset"], "on_top_of": trained["model"], "stages": [stage]}
    answer = http.post("/v1/jobs", json=body | {"publish_as": "upper"})
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    http.post(f"/v1/jobs/{job}/cancel")
    wait_for(http, job)
    page = opened(f"/jobs/{job}")
    page.click("[data-action=retry]")
    page.wait_for_url(lambda address: "/jobs/" in address and job not in address)
    again = page.get_attribute("#job", "data-job")
    stop_at_the_end(again)
    assert http.get(f"/v1/jobs/{again}").json()["spec"] == answer.json()["spec"]
