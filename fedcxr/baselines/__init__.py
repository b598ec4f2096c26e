"""What a federation is compared with: one model of all images pooled, and one model of each hospital alone.

Both train by the federation's own code under its budget of image passes.
"""
