"""From raw images to what training reads: volumes, splits, datasets, crops."""
