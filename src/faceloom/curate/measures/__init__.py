"""Measures of one face: sharpness, light, pose, expression, occlusion."""
