"""Image operations in JAX: crops, votes, maps and masks."""
