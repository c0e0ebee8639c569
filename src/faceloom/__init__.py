"""Faceloom."""
