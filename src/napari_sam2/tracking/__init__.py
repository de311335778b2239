"""What happens over frames: reading, prompts, memory, masklets."""
