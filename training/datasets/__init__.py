"""Laboratories' data sets as they come: annotation, known mistakes, folders, counts."""
