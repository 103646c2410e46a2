"""Linear maps between inputs and units."""

from typing import Literal

from pydantic import Field

from pinwheel.specs.base import Spec


class Dense(Spec):
    """Every unit sees every input."""

    kind: Literal["dense"] = "dense"
    units: int = Field(400, ge=1, le=65536, description="Number of units of the code.")
    max_norm: float = Field(1.0, gt=0, le=1000, description="L2 norm of each dictionary column, or its upper bound.")
    norm: Literal["bounded", "fixed"] = Field(
        "bounded", description="`bounded` keeps each column's norm at or below `max_norm`; `fixed` keeps it there."
    )
    update: Literal["adam", "diagonal-hessian"] = Field(
        "adam",
        description=(
            "How the dictionary follows its gradient: with Adam, as everything else, or divided by each unit's mean "
            "squared code, which keeps columns free of noise where all units are active at once."
        ),
    )
    update_rate: float = Field(0.1, gt=0, le=1, description="Share of a `diagonal-hessian` step that is taken.")


Connection = Dense
