"""Merging: the trained face on every frame of dst."""
