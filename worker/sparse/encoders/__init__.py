"""How a code is found from an input, one file each."""

from worker.sparse.encoders.recurrent import Recurrent

__all__ = ["Recurrent"]
