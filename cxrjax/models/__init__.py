"""Networks by name, layers and specifications."""
