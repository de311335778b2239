"""Napari and Qt live here and nowhere else."""
