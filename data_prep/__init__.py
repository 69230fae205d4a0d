"""Upstream files to prepared data sets: a folder a source, one example form (`example.py`) for all of them."""
