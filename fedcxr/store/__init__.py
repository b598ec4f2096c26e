"""The files of a run: content-addressed blobs, the run directory, and hospitals' own disks."""
