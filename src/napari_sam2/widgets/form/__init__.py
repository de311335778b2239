"""The form of the dock widget and its parts: what they show, nothing of what it does."""
