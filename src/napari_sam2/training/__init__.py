"""Losses, clips, simulated clicks, synthetic microscopy and the fitting loop."""
