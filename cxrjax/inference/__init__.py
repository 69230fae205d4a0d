"""Apply trained networks to files."""
