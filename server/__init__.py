"""The coordinator: a Flower ServerApp around a round engine of our own."""
