"""Sort a faceset: every sort method, groups of one measure sorted by another, the best faces."""

from faceloom.curate.orders.method import Grouping, Ordering, SortContext, SortMethod, SortOption
from faceloom.curate.orders.sort import (
    METHODS,
    Sorted,
    SortKey,
    columns_needed,
    parse_keys,
    refuse_unused,
    sort_faces,
)

__all__ = [
    "METHODS",
    "Grouping",
    "Ordering",
    "SortContext",
    "SortKey",
    "SortMethod",
    "SortOption",
    "Sorted",
    "columns_needed",
    "parse_keys",
    "refuse_unused",
    "sort_faces",
]
