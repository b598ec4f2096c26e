"""The terms of the joint objective, one file each."""
