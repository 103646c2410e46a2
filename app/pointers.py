"""Where a place of a full spec is in what a client has given."""

from collections.abc import Sequence
from typing import Any

from pinwheel.specs import StackSpec, TrainSpec


class Pointers:
    """`taken` stages stand below those that were given; `alone`: what was given is one stage, without `stages`.
    `training` was given for all of the `stages`."""

    def __init__(
        self,
        taken: int = 0,
        *,
        alone: bool = False,
        training: dict[str, Any] | None = None,
        stages: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.taken, self.alone = taken, alone
        self.training, self.stages = training or {}, stages

    def given(self, pointer: str) -> str:
        parts = pointer.split("/")
        if parts[:2] != ["#", "stages"] or len(parts) < 3 or not parts[2].isdigit():
            return pointer
        number = int(parts[2]) - self.taken
        if number < 0:
            return "#/on_top_of"
        alone = self.alone or self._is_of_all(number, parts[3:])
        return "/".join(["#", *parts[3:]] if alone else ["#", "stages", str(number), *parts[3:]])

    def _is_of_all(self, number: int, inside: list[str]) -> bool:
        """Whether what is `inside` a stage was given for all of them, and not in that one."""
        if len(inside) < 2 or inside[0] != "training" or inside[1] not in self.training:
            return False
        own = self.stages[number].get("training") if number < len(self.stages) else None
        return not (isinstance(own, dict) and inside[1] in own)

    def of_stage(self, number: int, spec: TrainSpec | StackSpec) -> str:
        """The pointer to a stage of the full spec."""
        return "#" if isinstance(spec, TrainSpec) else self.given(f"#/stages/{number}")
