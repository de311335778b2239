"""The window by name, for the console and for scripts; how it is opened and left."""
