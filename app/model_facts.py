"""What pages for people say of a published model: its spec in a few facts, and what its maps show."""

from dataclasses import asdict, dataclass
from typing import Any

from app.encoding import takes_larger
from app.geometry import code_length
from pinwheel.files import layers_of
from pinwheel.specs import ANY_SPEC, Conv, Local, Recurrent, layers

# One sentence of what one sees, for each kind of map.
SEEN = {
    "topography": "Each filter lies at its place on the map. Where an order has been learned, neighbours look alike.",
    "orientation": (
        "The hue is the orientation that each unit prefers. Around a pinwheel centre, marked by the sense in which it "
        "turns, all orientations meet in one point."
    ),
    "usage": "How large a share of the inputs each unit answers to, most used first. Units at zero are dead.",
    "inhibition": "Which units keep each other silent: how strongly every two do, and the filters of the strongest.",
    "tree": "A unit can answer only together with its parent: coarse filters at the root, finer ones further out.",
    "units": (
        "Part-units build the image out of strokes; categorical-units stand for whole classes. Each is placed by the "
        "angle between its encoder and its decoder."
    ),
    "invariance": (
        "How much an answer changes when the input is moved, turned or scaled, for single units and for their pools. "
        "A flat curve is an invariant answer."
    ),
}


@dataclass(frozen=True)
class Placed:
    """Where units look, in pixels: `start` from the border, each `step` further than the one before; a square of `size`
    is drawn for each: the field of its own that a unit has, or the middle of a kernel, which others overlap."""

    start: float
    step: float
    size: float


@dataclass(frozen=True)
class Facts:
    """Of one layer, as the playground needs them.

    cuts: larger images are cut into patches; passes: of a recurrent encoder; code: numbers of the code of one input;
    pooled: features are pools, not units; local: each unit has its own filter at its own place.
    """

    input_shape: list[int]
    cuts: bool
    passes: int | None
    code: int
    pooled: bool
    local: bool
    placed: Placed | None


def facts_of(record: dict[str, Any]) -> Facts:
    """Of the top layer of a model. Places in the image are known for a single layer alone."""
    all_layers = layers(ANY_SPEC.validate_python(record["spec"]))
    model = all_layers[-1].model
    single = len(layers_of(record)) == 1 and model.output != "pooled"
    connection, placed = model.connection, None
    if single and isinstance(connection, Conv):
        start = (connection.kernel_size - connection.stride) / 2 - connection.padding
        placed = Placed(start, connection.stride, connection.stride)
    if single and isinstance(connection, Local):
        placed = Placed(0, connection.field_stride / connection.side, connection.field_size)
    return Facts(
        input_shape=list(record["input_shape"]),
        cuts=takes_larger(record),
        passes=model.encoder.passes if isinstance(model.encoder, Recurrent) else None,
        code=code_length(record),
        pooled=model.output == "pooled",
        local=isinstance(connection, Local),
        placed=placed,
    )


def as_data(facts: Facts) -> dict[str, Any]:
    """JSON-ready, for the attribute of a page that its script reads."""
    return asdict(facts)
