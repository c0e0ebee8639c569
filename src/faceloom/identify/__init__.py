"""Whose face it is: identity embeddings and their similarity."""

from faceloom.identify.sface import (
    SAME_PERSON,
    Identifier,
    align_face,
    five_points,
    mean_embedding,
    similarity,
)

__all__ = [
    "SAME_PERSON",
    "Identifier",
    "align_face",
    "five_points",
    "mean_embedding",
    "similarity",
]
