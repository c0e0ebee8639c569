"""Settings of models, merging and other parts of the engine that configurations of stages share.

Modules here import nothing heavy, so that a stage's configuration loads at once. Import from the
modules themselves.
"""
