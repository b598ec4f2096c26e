"""The weighted sum, in integers."""
