"""Napari's layers: images as frames, points and shapes as prompts, labels as masklets."""
