"""Where a run's bytes lie: content-addressed blobs, and the run directory around them."""
