"""The table of objects, the list of frames to check, and the timeline."""
