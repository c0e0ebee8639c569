"""Measure facesets: the columns of numbers that sorting, grouping and comparing work on."""

from faceloom.stages.measure.faces import measure_faces
from faceloom.stages.measure.kinds import COLUMNS

__all__ = ["COLUMNS", "measure_faces"]
