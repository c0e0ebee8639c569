"""Faces over time: tracking, gap filling and smoothing."""
