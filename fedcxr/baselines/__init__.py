"""The baselines of a federation: one model of all images pooled, and one of each hospital alone."""
