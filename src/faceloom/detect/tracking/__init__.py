"""Faces over time: tracks, gaps and smoothing."""
