"""Pinwheel learns sparse features from images. This package is the language and the door: no torch, FastAPI or Celery."""

__version__ = "0.1.0"
