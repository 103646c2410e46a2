"""What is wrong with a stack is told where its client wrote it, once, and with the fields that are known there."""

from typing import Any

import pytest
from stack_cases import DENSE, FIRST, LABELS, SECOND

from app.stacking import full_spec
from app.submission import parse
from pinwheel.errors import InvalidConfig
from pinwheel.specs import StackSpec, TrainJob

BASE = {
    "name": "below",
    "version": 1,
    "spec": {"preprocessing": {}, "model": FIRST["model"], "training": {}, "resources": {}},
    "input_shape": [8, 6, 1],
    "feature_shape": [3, 2, 8],
}


def errors_of(body: dict[str, Any], base: dict[str, Any] | None = None) -> list[dict[str, str]]:
    request = parse({"type": "train", "dataset": "stripes", **body})
    assert isinstance(request, TrainJob)
    with pytest.raises(InvalidConfig) as refused:
        full_spec(request, base)
    return refused.value.errors


def pointers_of(body: dict[str, Any], base: dict[str, Any] | None = None) -> list[str]:
    return [error["pointer"] for error in errors_of(body, base)]


def test_a_check_of_a_whole_stage_points_to_the_stage() -> None:
    phased = {**FIRST, "training": {"dictionary_fraction": 0.5}}
    assert pointers_of({"stages": [phased, SECOND]}) == ["#/stages/0"]
    revived = {**LABELS, "training": {"revive_after": 100}}
    assert pointers_of({"stages": [FIRST, revived]}) == ["#/stages/1"]
    alone = {"on_top_of": "below", "model": DENSE["model"], "training": {"dictionary_fraction": 0.5}}
    assert pointers_of(alone, BASE) == ["#"]


@pytest.mark.parametrize("wrong", [{"model": None}, {"model": 5}, {"training": None}, {"modl": {}}])
def test_the_only_stage_is_not_missed_where_it_is_wrong(wrong: dict[str, Any]) -> None:
    assert "#/stages" not in pointers_of({"stages": [FIRST | wrong]})
    with pytest.raises(ValueError, match="at least one stage"):
        StackSpec.model_validate({"preprocessing": {}, "stages": [], "resources": {}})


def test_a_field_of_the_other_kind_of_stage_is_not_known() -> None:
    (error,) = errors_of({"stages": [FIRST, SECOND | {"classifier": {"kind": "softmax"}}]})
    assert error["pointer"] == "#/stages/1/classifier"
    assert error["detail"].endswith("Known fields: model, taken_from, training")
    (error,) = errors_of({"stages": [FIRST, LABELS | {"lern": "all"}]})
    assert "did you mean 'learn'? Known fields: classifier, learn, training" in error["detail"]


def test_what_was_given_for_all_stages_is_wrong_once_and_there() -> None:
    stages = [{"model": FIRST["model"]}, {"model": SECOND["model"]}]
    assert pointers_of({"training": {"epochs": 0}, "stages": stages}) == ["#/training/epochs"]
    own = [{**stages[0], "training": {"epochs": -1}}, stages[1]]
    assert pointers_of({"training": {"epochs": 0}, "stages": own}) == [
        "#/stages/0/training/epochs",
        "#/training/epochs",
    ]
    assert pointers_of({"recipe": "stacked", "training": {"epoch": 3}}) == ["#/training/epoch"]


@pytest.mark.parametrize("base", [None, BASE])
def test_what_stands_at_the_wrong_place_is_counted_as_it_was_given(base: dict[str, Any] | None) -> None:
    """Not as in the whole stack, where the layers of a model stand below."""
    more = {} if base is None else {"on_top_of": "below"}
    classifying = {**DENSE, "model": DENSE["model"] | {"classifier": {"kind": "softmax"}}}
    assert pointers_of({"stages": [classifying, DENSE], **more}, base) == ["#/stages/0/model/classifier"]
    assert pointers_of({"stages": [DENSE, LABELS, DENSE], **more}, base) == ["#/stages/1"]
    exact = {**DENSE, "model": DENSE["model"] | {"encoder": {"kind": "exact"}}}
    assert pointers_of({"stages": [exact, LABELS], **more}, base) == ["#/stages/1/learn"]
