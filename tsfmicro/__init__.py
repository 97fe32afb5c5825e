"""TSFmicro: video in, micro-expression events out."""

__version__ = "0.1.0"
