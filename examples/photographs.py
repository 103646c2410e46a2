"""Learn edges from photographs: sparse coding of whitened patches, which is what finds them.

    python examples/photographs.py [http://127.0.0.1:8000]

Writes photographs.png (what was learned from) and edges.png (the filters, by their orientation).
"""

import sys
from pathlib import Path

import pinwheel

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"

with pinwheel.Client(URL) as client:
    photos = client.create_dataset(builtin="photos")
    job = client.train(
        recipe="sparse-coding",
        dataset=photos,
        preprocessing={"patches_per_image": 1250},
        model={"connection": {"units": 64}, "encoder": {"solver": {"max_iterations": 15}}},
        publish_as="example-edges",
    )
    job.wait(progress=True)
    model = client.model(job.model)

    Path("photographs.png").write_bytes(photos.preview())
    Path("edges.png").write_bytes(model.filters(order="orientation", cols=16, scale=4))
    units = model.filters("json")["units"]

metrics = job.record["metrics"]
steep = [unit["orientation_deg"] for unit in units if unit["orientation_deg"] is not None]
print(f"{photos.count} photographs, {len(units)} filters, {len(steep)} of them with an orientation")
print(f"a patch takes {metrics['l0']:.1f} filters; {metrics['unexplained_variance']:.0%} of it stays unexplained")
