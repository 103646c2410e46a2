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
    cost="256 units on a 16 × 16 torus, 100 000 patches of 12 × 12 pixels, 3 epochs: about 90 s on two CPU cores",
    spec=TrainSpec(
        preprocessing=PHOTO_PATCHES,
        model=Model(
            connection=Dense(units=256, norm="fixed"),
            encoder=PredictRefine(activation="tanh", weight=0.1, solver=Solver(max_iterations=20, tolerance=0)),
            sparsity=Pools(
                weight=0.3,
                layout="torus",
                map=Map(height=16, width=16),
                size=5,
                stride=1,
                profile="gaussian",
                sigma=1.5,
                smoothing=1e-3,
            ),
        ),
        training=Training(epochs=3, batch_size=250, learning_rate=3e-3),
        resources=Resources(),
    ),
)
