"""What the federation is compared with: all images pooled, and each hospital alone."""
