"""Invariant features on a map: Gaussian pools that overlap on a torus (IPSD, CVPR 2009)."""

from pinwheel.recipes.recipe import PHOTO_PATCHES, Recipe
from pinwheel.specs import Dense, Map, Model, Pools, PredictRefine, Resources, Solver, Training, TrainSpec

TOPOGRAPHIC = Recipe(
    name="topographic",
    title="Topographic features on a torus",
    summary=(
        "Overlapping Gaussian pools on a map that closes on itself: neighbours come to like the same orientation, and "
        "orientation turns smoothly over the map."
    ),
    paper=(
        "K. Kavukcuoglu, M. Ranzato, R. Fergus and Y. LeCun, Learning Invariant Features through Topographic Filter "
        "Maps, CVPR 2009"
    ),
    needs_labels=False,
    dataset="photos",
    cost="256 units on a 16 × 16 torus, 100 000 patches of 12 × 12 pixels, 2 epochs: about 90 s on two CPU cores",
    spec=TrainSpec(
        preprocessing=PHOTO_PATCHES.model_copy(update={"zca_epsilon": 0.5}),
        model=Model(
            connection=Dense(units=256, norm="fixed", update="diagonal-hessian", update_rate=0.1),
            encoder=PredictRefine(activation="shrink", weight=0.5, solver=Solver(max_iterations=15, tolerance=0)),
            sparsity=Pools(
                weight=0.124,
                layout="torus",
                map=Map(height=16, width=16),
                size=5,
                stride=1,
                profile="gaussian",
                sigma=1.2,
                smoothing=4e-6,
            ),
        ),
        training=Training(epochs=2, batch_size=100, learning_rate=5e-3),
        resources=Resources(),
    ),
)
