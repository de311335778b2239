"""Scores of masklets against a truth, and simulated annotators."""
