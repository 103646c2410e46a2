"""What may differ between the training that wrote a checkpoint and one that goes on from it.

Everything that decides the shapes of what was learned, and what it means, stays; how it goes on learning is free.
"""

from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, ...]

# Of a stage; what stands below one of these is free as well.
FREE: frozenset[Place] = frozenset(
    {
        *(("training", name) for name in ("epochs", "batch_size", "learning_rate", "schedule", "decay", "previews")),
        *(("training", name) for name in ("unsupervised_fraction", "input_dropout", "adversarial_norm")),
        ("training", "revive_after"),
        ("model", "sparsity", "weight"),
        ("model", "encoder", "weight"),
        ("model", "encoder", "solver"),
        ("model", "classifier", "weight"),
        ("classifier", "weight"),
    }
)
# Where something happens once, at a share of the steps, the steps stay those of the training that began.
STEPS: frozenset[Place] = frozenset({("training", "epochs"), ("training", "batch_size")})


def changed(before: Fields, after: Fields, finished: int = 0) -> list[tuple[str, Any, Any]]:
    """What a training of `after` may not change of `before`, full specs as JSON: pointer, value before, value after.

    `finished` stages of a stack are behind the checkpoint, and nothing of them may differ.
    """
    found = []
    for place, old, new in _differences(before, after):
        number, inside = _stage(place)
        if place[0] != "resources" and not (number >= finished and _free(inside, _stage_at(before, number))):
            found.append(("#/" + "/".join(place), old, new))
    return found


def _free(place: Place, stage: Fields) -> bool:
    if place in STEPS and _turns(stage):
        return False
    return any(place[:length] in FREE for length in range(1, len(place) + 1))


def _turns(stage: Fields) -> bool:
    """Whether something happens once in the course of a stage: the encoder begins, branches are cut."""
    sparsity = stage.get("model", {}).get("sparsity", {})
    return stage["training"]["dictionary_fraction"] > 0 or sparsity.get("prune_below") is not None


def _stage(place: Place) -> tuple[int, Place]:
    """The number of the stage that a place is in, and the place there."""
    return (int(place[1]), place[2:]) if place[0] == "stages" and len(place) > 1 else (0, place)


def _stage_at(spec: Fields, number: int) -> Fields:
    stages: list[Fields] = spec.get("stages", [spec])
    return stages[number] if number < len(stages) else spec


def _differences(before: Any, after: Any, place: Place = ()) -> list[tuple[Place, Any, Any]]:
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = ({str(number): item for number, item in enumerate(each)} for each in (before, after))
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [(place, before, after)]
    names = [*before, *(name for name in after if name not in before)]
    return [each for name in names for each in _differences(before.get(name), after.get(name), (*place, name))]
