"""What is done to objects that are known: merged, split, closed gaps, whose pixel it is."""
