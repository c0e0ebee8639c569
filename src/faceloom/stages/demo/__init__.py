"""The demo: the whole pipeline on two animated portraits."""
