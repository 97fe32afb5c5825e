"""Onset and apex crops of a data set, cut once and kept."""
