"""Convolutional sparse coding with a predictor, on photographs small enough that lines meet within a kernel."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import L1, Conv, Model, PredictRefine, Preprocessing, Resources, Solver, Training, TrainSpec

CONV_SPARSE = Recipe(
    name="conv-sparse",
    title="Convolutional sparse coding",
    summary=(
        "Kernels with signed codes, learned on whole windows. What repeats at every place of an image needs no copy of "
        "itself, so beside edges and bars there is room for crossings of two lines, corners, rings and centres."
    ),
    paper=(
        "K. Kavukcuoglu, P. Sermanet, Y. Boureau, K. Gregor, M. Mathieu and Y. LeCun, Learning Convolutional Feature "
        "Hierarchies for Visual Recognition, NIPS 2010"
    ),
    needs_labels=False,
    dataset="photos-small",
    cost="64 kernels of 9 × 9 on 20 000 windows of 25 × 25 pixels, 4 epochs: about 4 minutes on two CPU cores",
    spec=TrainSpec(
        preprocessing=Preprocessing(
            color="gray", patch_size=25, patches_per_image=2500, whiten="lcn", lcn_sigma=2.0, scale="none"
        ),
        model=Model(
            connection=Conv(units=64, kernel_size=9, norm="fixed", update="diagonal-hessian"),
            encoder=PredictRefine(activation="shrink", weight=1.0, solver=Solver(max_iterations=10, tolerance=0)),
            sparsity=L1(weight=1.5),
        ),
        training=Training(epochs=4, batch_size=16, learning_rate=3e-3, revive_after=500),
        resources=Resources(),
    ),
)
