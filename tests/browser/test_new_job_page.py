"""The form for a training."""

from collections.abc import Callable
from typing import Any

import httpx2
from asking import npz
from awaited_pages import until

Open = Callable[..., Any]
READY = "!document.querySelector('#submit').disabled"


def fill(page: Any, pointer: str, value: str) -> None:
    """Opens the parts around a field and types."""
    page.evaluate(
        """pointer => { for (let part = document.querySelector(`[data-pointer="${pointer}"]`); part;
        part = part.parentElement.closest('details')) if (part.tagName === 'DETAILS') part.open = true; }""",
        pointer,
    )
    page.fill(f'[data-pointer="{pointer}"] input', value)


def test_a_job_is_submitted_from_the_form_with_the_changed_fields_alone(
    opened: Open, http: httpx2.Client, few_digits: str, stop_at_the_end: Callable[[str], None]
) -> None:
    page = opened("/new")
    page.check("input[value=drsae]", force=True)
    until(page, READY)
    page.select_option("#dataset", few_digits)
    fill(page, "#/model/connection/units", "0")
    until(
        page,
        "document.querySelector('[data-pointer=\"#/model/connection/units\"] .complaint').textContent.includes('1')",
    )
    assert page.is_disabled("#submit")
    for pointer, value in (("#/model/connection/units", "16"), ("#/model/encoder/passes", "2")):
        fill(page, pointer, value)
    for pointer, value in (("#/training/epochs", "2"), ("#/training/batch_size", "50")):
        fill(page, pointer, value)
    page.fill("#split", "0.2")
    page.fill("#name", "from the form")
    until(page, READY)
    until(page, "document.querySelector('#estimate').textContent.includes('16')")
    assert '"units": 16' in page.inner_text("#snippets")
    with page.expect_request(lambda request: request.url.endswith("/v1/jobs")) as sent:
        page.click("#submit")
    assert sent.value.post_data_json == {
        "type": "train",
        "recipe": "drsae",
        "dataset": few_digits,
        "validation": {"split": 0.2},
        "model": {"connection": {"units": 16}, "encoder": {"passes": 2}},
        "training": {"epochs": 2, "batch_size": 50},
        "name": "from the form",
    }
    page.wait_for_url("**/jobs/job_*")
    job = page.get_attribute("#job", "data-job")
    stop_at_the_end(job)
    until(page, "Number(document.querySelector('#filters').dataset.step) >= 0", 60)
    until(page, "document.querySelector('#state').textContent === 'succeeded'", 60)
    until(page, "document.querySelectorAll('.curve').length > 3")
    assert page.get_attribute("#live", "aria-pressed") == "true"


def test_the_form_of_a_recipe_says_its_defaults_and_sends_none(opened: Open) -> None:
    page = opened("/new")
    for name in ("stacked", "local", "inhibition", "tree"):
        page.goto(page.url.split("#")[0] + f"#recipe={name}")
        until(page, f"document.querySelector('#snippets code')?.textContent.includes('\"{name}\"')")
        until(page, READY)
        told = page.inner_text("#snippets pre >> nth=0")
        assert not [part for part in ("preprocessing", "model", "stages", "training") if f'"{part}"' in told], name


def test_a_part_of_another_kind_is_sent_with_what_differs_from_its_own_defaults(opened: Open) -> None:
    page = opened("/new#recipe=psd")
    until(page, READY)
    page.evaluate("document.querySelector('[data-pointer=\"#/model/sparsity\"]').open = true")
    page.select_option('[data-pointer="#/model/sparsity"] select >> nth=0', "pools")
    fill(page, "#/model/sparsity/size", "2")
    until(page, "document.querySelector('#snippets code').textContent.includes('pools')")
    until(page, "document.querySelector('#snippets code').textContent.includes('\"size\": 2')")
    assert "weight" not in page.inner_text("#snippets pre >> nth=0")


def test_files_are_sent_from_the_form_and_chosen(opened: Open, digits: tuple[Any, Any], http: httpx2.Client) -> None:
    page = opened("/new#recipe=drsae")
    until(page, READY)
    sent = {
        "name": "sent-here.npz",
        "mimeType": "application/zip",
        "buffer": npz(images=digits[0][:50], labels=digits[1][:50]),
    }
    page.set_input_files("#upload", sent)
    until(page, "document.querySelector('#uploading').textContent.includes('50 images')")
    assert http.get(f"/v1/datasets/{page.input_value('#dataset')}").json()["name"] == "sent-here"


def test_a_layer_is_put_on_a_model_and_measured_on_other_data(
    opened: Open, http: httpx2.Client, trained: dict[str, Any], stop_at_the_end: Callable[[str], None]
) -> None:
    page = opened("/new#recipe=group")
    until(page, "document.querySelector('#on_top_of').options.length > 1")
    until(page, "document.querySelector('#dataset').value !== ''")
    page.select_option("#dataset", trained["dataset"])
    page.select_option("#on_top_of", trained["model"])
    page.select_option("#validation", trained["dataset"])
    until(page, READY)
    fill(page, "#/model/connection/units", "12")
    fill(page, "#/training/epochs", "1")
    until(page, "document.querySelector('#snippets code').textContent.includes('on_top_of')")
    until(page, READY)
    with page.expect_request(lambda request: request.url.endswith("/v1/jobs")) as sent:
        page.click("#submit")
    told = sent.value.post_data_json
    assert (told["on_top_of"], told["validation"]) == (trained["model"], {"dataset": trained["dataset"]})
    assert "preprocessing" not in told
    page.wait_for_url("**/jobs/job_*")
    job = page.get_attribute("#job", "data-job")
    stop_at_the_end(job)
    stages = http.get(f"/v1/jobs/{job}").json()["spec"]["stages"]
    assert [stage["taken_from"] for stage in stages] == [trained["model"], None]
    until(page, "document.querySelector('#state').textContent === 'succeeded'", 60)
