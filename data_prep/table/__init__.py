"""Radiographs listed in a CSV file, one per row."""
