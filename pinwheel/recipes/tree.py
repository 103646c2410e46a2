"""Tree-structured sparsity (Jenatton, Mairal, Obozinski and Bach, JMLR 12, 2011)."""

from pinwheel.recipes.recipe import PLAIN_PATCHES, Recipe
from pinwheel.specs import Dense, Exact, Model, Resources, Solver, Training, TrainSpec, Tree, TreeShape

TREE = Recipe(
    name="tree",
    title="Tree-structured sparsity",
    summary=(
        "A unit may be active only where its parent is: low frequencies near the root, details on the leaves. "
        "With prune_below, branches that are hardly used are cut."
    ),
    paper=(
        "R. Jenatton, J. Mairal, G. Obozinski and F. Bach, Proximal Methods for Hierarchical Sparse Coding, "
        "JMLR 12, 2011"
    ),
    needs_labels=False,
    dataset="photos",
    cost="71 units, 100 000 patches of 12 × 12 pixels, 3 epochs: about a minute on two CPU cores",
    spec=TrainSpec(
        preprocessing=PLAIN_PATCHES,
        model=Model(
            connection=Dense(units=71, norm="fixed"),
            encoder=Exact(sign="signed", solver=Solver(max_iterations=40, tolerance=0.02)),
            sparsity=Tree(weight=0.6, shape=TreeShape(branching=[10, 2, 2])),
        ),
        training=Training(epochs=3, batch_size=250, learning_rate=2e-2, revive_after=20_000),
        resources=Resources(),
    ),
)
