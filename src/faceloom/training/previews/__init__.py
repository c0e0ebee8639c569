"""Previews, loss curve, timelapse and TensorBoard."""
