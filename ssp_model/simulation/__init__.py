"""The simulated collection: geometry, structures, optics."""
