"""A network over a whole image: the sliding window, and prediction in files."""
