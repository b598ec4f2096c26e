"""Many runs and their tables: manifests, tasks, kept results, comparisons with other ways to train."""
