"""Faces as files: JPEG and PNG with their metadata."""
