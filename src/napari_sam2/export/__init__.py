"""Masklets to and from files."""
