"""Spotting against known truth: micro-expressions put into real footage and stills, and the field's metrics."""
