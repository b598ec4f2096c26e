"""What one hospital runs: a Flower ClientApp around its own data, keys and disk."""
