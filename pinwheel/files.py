"""Names of the files of a model, which workers write and the API reads."""

WEIGHTS = "weights.safetensors"
RECORD = "model.json"


def units_file(layer: int) -> str:
    """What is told of the units of a layer: pictures, usage, structure. The first layer is 0."""
    return "units.safetensors" if layer == 0 else f"units.{layer}.safetensors"
