"""The workspace: its layout, the footage of each side, and its facesets."""
