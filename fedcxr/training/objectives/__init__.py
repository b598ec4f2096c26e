"""The terms of the joint objective: a file each, and the table that lists them."""
