"""What is kept of a session: its steps, for undo and in files, and what they led to."""
