"""The simulated image collection: cells, structures, optics, and the files."""
