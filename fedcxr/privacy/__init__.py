"""What protects an update on its way and at rest."""
