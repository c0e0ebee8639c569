"""Samples of a mask model."""
