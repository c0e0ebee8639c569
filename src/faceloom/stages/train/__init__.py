"""Training, and planning it."""
