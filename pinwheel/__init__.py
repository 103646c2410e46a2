"""Pinwheel learns sparse features from images. This package is the language and the door; it loads no torch."""

__version__ = "0.1.0"
