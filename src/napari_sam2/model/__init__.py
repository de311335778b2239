"""The network: torch only, stateless, tensors in, tensors out."""
