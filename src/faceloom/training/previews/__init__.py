"""Previews, loss curve, timelapse, TensorBoard."""
