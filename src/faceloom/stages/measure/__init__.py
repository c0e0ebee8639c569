"""Measuring the faces of a faceset."""
