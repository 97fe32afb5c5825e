"""Synthetic micro-expressions: any face photograph, moved by FACS action units, with exact truth."""
