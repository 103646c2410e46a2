"""LISTA: a few unrolled passes that predict the exact code (Gregor and LeCun, ICML 2010)."""

from pinwheel.recipes.recipe import PHOTO_PATCHES, Recipe
from pinwheel.specs import L1, Dense, Model, Recurrent, Resources, Solver, Training, TrainSpec

LISTA = Recipe(
    name="lista",
    title="Learned ISTA",
    summary=(
        "A dictionary is learned by sparse coding; then an encoder of a few passes, which begins as ISTA, learns to "
        "predict its exact codes. A few passes come as near as several times as many iterations of FISTA."
    ),
    paper="K. Gregor and Y. LeCun, Learning Fast Approximations of Sparse Coding, ICML 2010",
    needs_labels=False,
    dataset="photos",
    cost="100 units, 3 passes, 100 000 patches of 10 × 10 pixels, 4 epochs: about a minute on two CPU cores",
    spec=TrainSpec(
        preprocessing=PHOTO_PATCHES.model_copy(update={"patch_size": 10, "zca_epsilon": 5.0}),
        model=Model(
            connection=Dense(units=100, norm="fixed", update="diagonal-hessian"),
            encoder=Recurrent(
                passes=3,
                sign="signed",
                start="ista",
                total_step=None,
                target="exact-code",
                solver=Solver(max_iterations=100, tolerance=1e-3),
                rate_multiplier=1.0,
                bias_rate_multiplier=1.0,
            ),
            sparsity=L1(weight=0.5),
        ),
        training=Training(epochs=4, batch_size=200, learning_rate=3e-3, dictionary_fraction=0.4, revive_after=20_000),
        resources=Resources(),
    ),
)
