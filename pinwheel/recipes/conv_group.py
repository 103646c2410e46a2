"""Convolutional ReLU with group sparsity: pools over positions, L2 pooling as the output (lecture 9.1)."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import Conv, Model, Pools, PredictRefine, Preprocessing, Resources, Solver, Training, TrainSpec

CONV_GROUP = Recipe(
    name="conv-group",
    title="Convolutional group sparsity",
    summary=(
        "Kernels learned on whole windows, each pooled over neighbouring positions: edges of all orientations, and the "
        "corners, curves and centres that patches do not need. What it answers are the pools, little moved by small "
        "shifts."
    ),
    paper=(
        "K. Kavukcuoglu, P. Sermanet, Y. Boureau, K. Gregor, M. Mathieu and Y. LeCun, Learning Convolutional Feature "
        "Hierarchies for Visual Recognition, NIPS 2010; Y. LeCun, lecture 9.1, NYU Deep Learning"
    ),
    needs_labels=False,
    dataset="photos",
    cost="64 kernels of 9 × 9 on 10 000 windows of 25 × 25 pixels, 2 epochs: about 4 minutes on two CPU cores",
    spec=TrainSpec(
        preprocessing=Preprocessing(
            color="gray", patch_size=25, patches_per_image=1250, whiten="lcn", lcn_sigma=3.0, scale="none"
        ),
        model=Model(
            connection=Conv(units=64, kernel_size=9, norm="fixed", update="diagonal-hessian"),
            encoder=PredictRefine(activation="relu", weight=1.0, solver=Solver(max_iterations=10, tolerance=0)),
            sparsity=Pools(weight=1.0, layout="maps", size=1, window=2),
            output="pooled",
        ),
        training=Training(epochs=2, batch_size=16, learning_rate=3e-3, revive_after=500),
        resources=Resources(),
    ),
)
