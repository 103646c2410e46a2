"""What a job is, as closed pydantic models: one source for the API's schema, the command line and the dashboard."""

from pinwheel.specs.base import Spec, merge
from pinwheel.specs.jobs import EncodeJob, EncodeOutput, JobRequest, TrainJob, TrainSpec, ValidationSet
from pinwheel.specs.model import L1, Dense, Model, NoClassifier, Recurrent, Softmax
from pinwheel.specs.preprocessing import Preprocessing
from pinwheel.specs.training import Resources, Training

__all__ = [
    "L1",
    "Dense",
    "EncodeJob",
    "EncodeOutput",
    "JobRequest",
    "Model",
    "NoClassifier",
    "Preprocessing",
    "Recurrent",
    "Resources",
    "Softmax",
    "Spec",
    "TrainJob",
    "TrainSpec",
    "Training",
    "ValidationSet",
    "merge",
]
