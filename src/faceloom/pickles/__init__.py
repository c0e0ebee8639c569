"""Restricted reader and writer for foreign pickles."""

from faceloom.pickles.machine import OPERATIONS, Machine
from faceloom.pickles.numpy import FACE_GLOBALS, Builder, Global, refused
from faceloom.pickles.safe import loads, stream
from faceloom.pickles.writer import Called, dump_arrays, dump_dict, dump_list, dumps

__all__ = [
    "FACE_GLOBALS",
    "OPERATIONS",
    "Builder",
    "Called",
    "Global",
    "Machine",
    "dump_arrays",
    "dump_dict",
    "dump_list",
    "dumps",
    "loads",
    "refused",
    "stream",
]
