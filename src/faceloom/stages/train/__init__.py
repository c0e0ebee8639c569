"""Training a model, and planning a training."""
