"""Renames and moves of faces, with a journal and undo."""
