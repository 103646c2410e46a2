"""PSD: predictive sparse decomposition (Kavukcuoglu, Ranzato and LeCun, 2008, arXiv 1010.3467)."""

from pinwheel.recipes.recipe import PHOTO_PATCHES, Recipe
from pinwheel.specs import L1, Dense, Model, PredictRefine, Resources, Solver, Training, TrainSpec

PSD = Recipe(
    name="psd",
    title="Predictive sparse decomposition",
    summary=(
        "Sparse coding with an encoder that learns to predict the code, while the code is held near the prediction. "
        "Encoding is then one matrix product; a shrinking activation keeps exact zeros, which a tanh cannot."
    ),
    paper=(
        "K. Kavukcuoglu, M. Ranzato and Y. LeCun, Fast Inference in Sparse Coding Algorithms with Applications to "
        "Object Recognition, 2008, arXiv:1010.3467"
    ),
    needs_labels=False,
    dataset="photos",
    cost="256 units on 100 000 patches of 12 × 12 pixels, 2 epochs: about a minute on two CPU cores",
    spec=TrainSpec(
        preprocessing=PHOTO_PATCHES,
        model=Model(
            connection=Dense(units=256, norm="fixed", update="diagonal-hessian"),
            encoder=PredictRefine(activation="shrink", weight=1.0, solver=Solver(max_iterations=30, tolerance=1e-2)),
            sparsity=L1(weight=1.0),
        ),
        training=Training(epochs=2, batch_size=200, learning_rate=5e-3, revive_after=20_000),
        resources=Resources(),
    ),
)
