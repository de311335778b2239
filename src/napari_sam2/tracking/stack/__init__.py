"""What is read of a stack: axes, channels, contrast, jumps of the picture."""
