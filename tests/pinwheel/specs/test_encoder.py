"""How a recurrent encoder may begin, and what is refused."""

import pytest
from pydantic import ValidationError

from pinwheel.specs import Recurrent

REFUSED = {
    "drsae without a step": ({"total_step": None}, "start 'drsae' needs a total_step, and it is null"),
    "ista with a step": ({"start": "ista", "total_step": 1.25}, "set total_step to null, it is 1.25"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_start_that_does_not_fit_is_refused_with_the_reason(name: str) -> None:
    given, said = REFUSED[name]
    with pytest.raises(ValidationError, match=said):
        Recurrent.model_validate(given)


def test_only_drsae_has_a_total_step_where_nothing_is_said_of_it() -> None:
    assert Recurrent().total_step == 1.25
    assert {Recurrent.model_validate({"start": start}).total_step for start in ("ista", "random")} == {None}
