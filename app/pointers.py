"""Where a place of a full spec is in what a client has given."""

from pinwheel.specs import StackSpec, TrainSpec


class Pointers:
    """`taken` stages stand below those that were given; `alone`: what was given is one stage, without `stages`."""

    def __init__(self, taken: int = 0, *, alone: bool = False) -> None:
        self.taken, self.alone = taken, alone

    def given(self, pointer: str) -> str:
        parts = pointer.split("/")
        if parts[:2] != ["#", "stages"] or len(parts) < 3 or not parts[2].isdigit():
            return pointer
        number = int(parts[2]) - self.taken
        if number < 0:
            return "#/on_top_of"
        return "/".join(["#", *parts[3:]] if self.alone else ["#", "stages", str(number), *parts[3:]])

    def of_stage(self, number: int, spec: TrainSpec | StackSpec) -> str:
        """The pointer to a stage of the full spec."""
        return "#" if isinstance(spec, TrainSpec) else self.given(f"#/stages/{number}")
