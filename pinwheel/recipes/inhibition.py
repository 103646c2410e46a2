"""Lateral inhibition instead of an L1 term (Gregor, Szlam and LeCun, NIPS 2011): tree, ring, sheet, learned."""

from pinwheel.recipes.recipe import PLAIN_PATCHES, Recipe
from pinwheel.specs import (
    Branches,
    Dense,
    Exact,
    Inhibition,
    Learned,
    Map,
    Model,
    Resources,
    Ring,
    Sheet,
    Solver,
    Structure,
    Training,
    TrainSpec,
    TreeShape,
)

PAPER = "K. Gregor, A. Szlam and Y. LeCun, Structured sparse coding via lateral inhibition, NIPS 2011"


def inhibition_spec(
    units: int, structure: Structure, *, weight: float = 0.5, epochs: int = 3, learning_rate: float = 1e-2
) -> TrainSpec:
    """What the four recipes share."""
    solver = Solver(method="coordinate-descent", max_iterations=5, tolerance=0)
    return TrainSpec(
        preprocessing=PLAIN_PATCHES,
        model=Model(
            connection=Dense(units=units, norm="fixed"),
            encoder=Exact(sign="signed", solver=solver),
            sparsity=Inhibition(weight=weight, structure=structure),
        ),
        training=Training(epochs=epochs, batch_size=250, learning_rate=learning_rate),
        resources=Resources(),
    )


INHIBITION = Recipe(
    name="inhibition",
    title="Lateral inhibition on a tree",
    summary=(
        "Every unit inhibits all but its own branch of a tree of 1 + 10 + 20 + 40 units: coarse features at the root, "
        "finer and rarer ones further out."
    ),
    paper=PAPER,
    needs_labels=False,
    dataset="photos",
    cost="71 units, 100 000 patches of 12 × 12 pixels, 6 epochs: about a minute on two CPU cores",
    spec=inhibition_spec(71, Branches(shape=TreeShape(branching=[10, 2, 2])), epochs=6, learning_rate=2e-2),
)

INHIBITION_RING = Recipe(
    name="inhibition-ring",
    title="Lateral inhibition on a ring",
    summary="Units inhibit all but their neighbours on a ring: features turn along it, in stretches.",
    paper=PAPER,
    needs_labels=False,
    dataset="photos",
    cost="64 units, 100 000 patches of 12 × 12 pixels, 3 epochs: about half a minute on two CPU cores",
    spec=inhibition_spec(64, Ring(free_radius=2)),
)

INHIBITION_SHEET = Recipe(
    name="inhibition-sheet",
    title="Lateral inhibition on a sheet",
    summary="Units inhibit all but their neighbours on a map that closes on itself: a topographic map.",
    paper=PAPER,
    needs_labels=False,
    dataset="photos",
    cost="100 units, 100 000 patches of 12 × 12 pixels, 3 epochs: about a minute on two CPU cores",
    spec=inhibition_spec(100, Sheet(map=Map(height=10, width=10), free_radius=1.5)),
)

INHIBITION_LEARNED = Recipe(
    name="inhibition-learned",
    title="Learned lateral inhibition",
    summary="The inhibition climbs the energy that the codes descend: units that would fire together part ways.",
    paper=PAPER,
    needs_labels=False,
    dataset="photos",
    cost="100 units, 100 000 patches of 12 × 12 pixels, 3 epochs: about a minute on two CPU cores",
    spec=inhibition_spec(100, Learned(rate=0.2, max_value=1.0, row_sum=16.0), weight=1.0),
)
