"""Masks as arrays: cut to where they are, resampled, made as the prompts want them."""
