"""The session behind the window: its thread, what was done to it, its files."""
