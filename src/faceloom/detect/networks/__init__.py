"""Detector and landmark networks, one module each."""
