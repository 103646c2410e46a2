"""Image-level training with local filters and no weight sharing: pinwheel maps (Gregor and LeCun, arXiv 1006.0448)."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import Local, Model, Pools, PredictRefine, Preprocessing, Resources, Solver, Training, TrainSpec

LOCAL = Recipe(
    name="local",
    title="Local filters without weight sharing",
    summary=(
        "Every unit has its own filter on its own field of the image, and neighbours share pools: orientation turns "
        "smoothly over the sheet and around pinwheels, as in the visual cortex."
    ),
    paper="K. Gregor and Y. LeCun, Emergence of Complex-Like Cells in a Temporal Product Network with Local Receptive "
    "Fields, arXiv:1006.0448",
    needs_labels=False,
    dataset="photos",
    cost="9216 units with fields of 11 × 11, 3200 windows of 106 × 106 pixels: about 10 minutes on two CPU cores",
    spec=TrainSpec(
        preprocessing=Preprocessing(
            color="gray",
            patch_size=106,
            patches_per_image=400,
            whiten="fourier",
            cutoff=0.4,
            lcn_sigma=6.0,
            scale="none",
        ),
        model=Model(
            connection=Local(
                field_size=11,
                tile=48,
                units_per_position=4,
                norm="fixed",
                update="diagonal-hessian",
                update_rate=0.05,
            ),
            encoder=PredictRefine(activation="shrink", weight=0.5, solver=Solver(max_iterations=20, tolerance=0)),
            sparsity=Pools(
                weight=0.15, layout="sheet", size=7, stride=1, profile="gaussian", sigma=1.2, smoothing=1e-4
            ),
        ),
        training=Training(epochs=3, batch_size=4, learning_rate=3e-3, dictionary_fraction=0.85, previews=20),
        resources=Resources(),
    ),
)
