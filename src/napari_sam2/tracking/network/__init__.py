"""The calls into the network: where it looks, what goes together, what is kept of it."""
