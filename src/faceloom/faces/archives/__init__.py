"""Facesets in one file: `faceset.pak` and zip."""
