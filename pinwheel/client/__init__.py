"""The Python client: everything the service does, from a program.

with Client() as client:
    client.create_dataset(builtin="digits")
    job = client.train(recipe="drsae", dataset="digits", publish_as="digits-400").wait()
    features = client.model("digits-400").encode(images)

`AsyncClient` has the same methods, to be awaited.
"""

from pinwheel.client.client import AsyncClient, Client
from pinwheel.client.datasets import AsyncDataset, Dataset
from pinwheel.client.jobs import AsyncJob, Job
from pinwheel.client.models import AsyncModel, Classification, Model

__all__ = [
    "AsyncClient",
    "AsyncDataset",
    "AsyncJob",
    "AsyncModel",
    "Classification",
    "Client",
    "Dataset",
    "Job",
    "Model",
]
