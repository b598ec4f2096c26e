"""Many runs and their tables: manifests, tasks, kept results, and comparisons with intervals.

What is here starts runs and reads what they left; how one run trains is decided elsewhere.
"""
