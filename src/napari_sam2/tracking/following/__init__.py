"""From frame to frame: which frames, in which order, how much there is to do."""
