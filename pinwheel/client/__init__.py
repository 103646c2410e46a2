"""The Python client: everything the service does, from a program.

with Client() as client:
    client.create_dataset(builtin="digits")
    job = client.train(recipe="drsae", dataset="digits", publish_as="digits-400").wait()
    features = client.model("digits-400").encode(images)
"""

from pinwheel.client.client import Client
from pinwheel.client.jobs import Job
from pinwheel.client.models import Classification, Model

__all__ = ["Classification", "Client", "Job", "Model"]
