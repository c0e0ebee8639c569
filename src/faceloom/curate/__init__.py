"""Which faces of a faceset to keep, and in which order: sorting, groups, duplicates, coverage.

Everything here works on measures that were taken before (`FaceTable`); nothing here opens a file
or a network.
"""

from faceloom.curate.sheet import check_sheet_name, contact_sheet
from faceloom.curate.table import FaceTable
from faceloom.curate.tracks import TRACK_COLUMNS, Track, chosen_tracks, list_tracks

__all__ = [
    "TRACK_COLUMNS",
    "FaceTable",
    "Track",
    "check_sheet_name",
    "chosen_tracks",
    "contact_sheet",
    "list_tracks",
]
