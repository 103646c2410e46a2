"""The whole service on one machine: an embedded store, the server and its workers, under one supervisor."""

from pinwheel.up.problems import CannotStart
from pinwheel.up.service import Service

__all__ = ["CannotStart", "Service"]
