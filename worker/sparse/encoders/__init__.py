"""How a code is found from an input, one file each."""

from worker.sparse.encoders.encoder import Encoder, Inferred
from worker.sparse.encoders.exact import Exact, Settings
from worker.sparse.encoders.feedforward import Feedforward
from worker.sparse.encoders.predict_refine import PredictRefine
from worker.sparse.encoders.recurrent import Recurrent
from worker.sparse.encoders.recurrent_fields import RecurrentFields

__all__ = ["Encoder", "Exact", "Feedforward", "Inferred", "PredictRefine", "Recurrent", "RecurrentFields", "Settings"]
