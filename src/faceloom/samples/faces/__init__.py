"""Samples of a model that swaps faces."""
