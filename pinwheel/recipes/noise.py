"""A code limited by noise instead of sparsity: the variational auto-encoder question of LeCun's lecture 9.1."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import Dense, Feedforward, Model, Noise, Preprocessing, Resources, Training, TrainSpec

NOISE = Recipe(
    name="noise",
    title="Noisy code",
    summary=(
        "A Gaussian code with a KL term: noise, not sparsity, limits what the code can tell. Units mix directions of "
        "large variance and none of them stands for a part: what sparsity adds is seen by comparison."
    ),
    paper="D. P. Kingma and M. Welling, Auto-Encoding Variational Bayes, ICLR 2014, arXiv:1312.6114",
    needs_labels=False,
    dataset="digits",
    cost="100 units, 20 000 digits, 10 epochs: about 20 s on two CPU cores",
    spec=TrainSpec(
        preprocessing=Preprocessing(scale="unit-norm"),
        model=Model(
            connection=Dense(units=100, norm="bounded"),
            encoder=Feedforward(activation="linear", gain=False),
            sparsity=Noise(weight=0.002),
        ),
        training=Training(epochs=10, batch_size=100, learning_rate=1e-3),
        resources=Resources(),
    ),
)
