"""Group sparsity: an L2 norm over disjoint pools (LeCun's lecture 9.1; Yuan and Lin 2006)."""

from pinwheel.recipes.recipe import PHOTO_PATCHES, Recipe
from pinwheel.specs import Dense, Model, Pools, PredictRefine, Resources, Solver, Training, TrainSpec

GROUP = Recipe(
    name="group",
    title="Group sparsity",
    summary=(
        "Units in pools of four go on and off together: those of a pool come to share orientation and place and differ "
        "in phase, so that the norm of a pool changes little when the image moves."
    ),
    paper=(
        "A. Hyvärinen and P. Hoyer, Emergence of phase- and shift-invariant features by decomposition of natural "
        "images into independent feature subspaces, Neural Computation 12(7), 2000; the auto-encoder is LeCun's"
    ),
    needs_labels=False,
    dataset="photos",
    cost="256 units in 64 pools, 100 000 patches of 12 × 12 pixels, 2 epochs: about a minute on two CPU cores",
    spec=TrainSpec(
        preprocessing=PHOTO_PATCHES,
        model=Model(
            connection=Dense(units=256, norm="fixed", update="diagonal-hessian"),
            encoder=PredictRefine(activation="shrink", weight=1.0, solver=Solver(max_iterations=30, tolerance=1e-2)),
            sparsity=Pools(weight=1.2, layout="disjoint", size=4),
        ),
        training=Training(epochs=2, batch_size=100, learning_rate=5e-3, revive_after=20_000),
        resources=Resources(),
    ),
)
