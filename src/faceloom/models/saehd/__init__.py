"""SAEHD: the face model in any size and architecture."""

from faceloom.models.saehd.model import build_saehd

__all__ = ["build_saehd"]
