"""Whose face it is: identity embeddings, their similarity, and a workspace's people."""

from faceloom.identify.blank import BLANK_LIMIT, blank_direction, blankness
from faceloom.identify.people import (
    Person,
    check_name,
    default_threshold,
    forget_person,
    load_people,
    load_person,
    people_folder,
    person_from_embeddings,
    save_person,
)
from faceloom.identify.sface import (
    SAME_PERSON,
    Identifier,
    align_face,
    five_points,
    mean_embedding,
    similarity,
)

__all__ = [
    "BLANK_LIMIT",
    "SAME_PERSON",
    "Identifier",
    "Person",
    "align_face",
    "blank_direction",
    "blankness",
    "check_name",
    "default_threshold",
    "five_points",
    "forget_person",
    "load_people",
    "load_person",
    "mean_embedding",
    "people_folder",
    "person_from_embeddings",
    "save_person",
    "similarity",
]
