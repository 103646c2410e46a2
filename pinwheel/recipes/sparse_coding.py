"""Sparse coding (Olshausen and Field, Nature 381, 1996), the base of everything else here."""

from pinwheel.recipes.recipe import PHOTO_PATCHES, Recipe
from pinwheel.specs import L1, Dense, Exact, Model, Resources, Solver, Training, TrainSpec

SPARSE_CODING = Recipe(
    name="sparse-coding",
    title="Sparse coding",
    summary=(
        "The code is the exact minimum of reconstruction and L1 energy, the dictionary follows its gradient. "
        "On photographs units become oriented, localised edges."
    ),
    paper="B. A. Olshausen and D. J. Field, Emergence of simple-cell receptive field properties, Nature 381, 1996",
    needs_labels=False,
    dataset="photos",
    cost="256 units on 100 000 patches of 12 × 12 pixels, 2 epochs: about half a minute on two CPU cores",
    spec=TrainSpec(
        preprocessing=PHOTO_PATCHES,
        model=Model(
            connection=Dense(units=256, norm="fixed", update="diagonal-hessian"),
            encoder=Exact(sign="signed", solver=Solver(max_iterations=60, tolerance=0.05)),
            sparsity=L1(weight=1.0),
        ),
        training=Training(epochs=2, batch_size=200, learning_rate=5e-3, revive_after=20_000),
        resources=Resources(),
    ),
)
