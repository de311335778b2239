"""What is known of objects over all frames."""
