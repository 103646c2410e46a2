"""What a job is, as closed pydantic models: one source for the API's schema, the command line and the dashboard."""

from pinwheel.specs.base import Spec, merge
from pinwheel.specs.classifier import Classifier, NoClassifier, Softmax
from pinwheel.specs.connection import Connection, Conv, Dense, Local, Shape
from pinwheel.specs.encoder import Encoder, Exact, Feedforward, PredictRefine, Recurrent, Solver
from pinwheel.specs.jobs import EncodeJob, EncodeOutput, JobRequest, TrainJob, ValidationSet
from pinwheel.specs.model import Model, solver_of, tree_shape, unit_map
from pinwheel.specs.preprocessing import Preprocessing
from pinwheel.specs.sparsity import (
    L1,
    Branches,
    Inhibition,
    Learned,
    Map,
    Matrix,
    Noise,
    Pools,
    Ring,
    Sheet,
    Sparsity,
    Structure,
    Tree,
)
from pinwheel.specs.train import ANY_SPEC, AnySpec, Layer, StackSpec, Supervised, TrainSpec, as_image, layers, taken
from pinwheel.specs.training import Resources, Training
from pinwheel.specs.trees import TreeShape

__all__ = [
    "ANY_SPEC",
    "L1",
    "AnySpec",
    "Branches",
    "Classifier",
    "Connection",
    "Conv",
    "Dense",
    "EncodeJob",
    "EncodeOutput",
    "Encoder",
    "Exact",
    "Feedforward",
    "Inhibition",
    "JobRequest",
    "Layer",
    "Learned",
    "Local",
    "Map",
    "Matrix",
    "Model",
    "NoClassifier",
    "Noise",
    "Pools",
    "PredictRefine",
    "Preprocessing",
    "Recurrent",
    "Resources",
    "Ring",
    "Shape",
    "Sheet",
    "Softmax",
    "Solver",
    "Sparsity",
    "Spec",
    "StackSpec",
    "Structure",
    "Supervised",
    "TrainJob",
    "TrainSpec",
    "Training",
    "Tree",
    "TreeShape",
    "ValidationSet",
    "as_image",
    "layers",
    "merge",
    "solver_of",
    "taken",
    "tree_shape",
    "unit_map",
]
