"""Which faces of a faceset to keep, and in which order: sorting, groups, duplicates, coverage.

Everything here works on measures that were taken before (`FaceTable`); nothing here opens a file
or a network.
"""

from faceloom.curate.table import FaceTable

__all__ = ["FaceTable"]
