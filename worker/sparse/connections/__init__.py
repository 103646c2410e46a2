"""Linear maps between inputs and units, one file each."""

from worker.sparse.connections.connection import Connection
from worker.sparse.connections.conv import Conv
from worker.sparse.connections.dense import Dense
from worker.sparse.connections.local import Local

__all__ = ["Connection", "Conv", "Dense", "Local"]
