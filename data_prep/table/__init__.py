"""Radiographs that a CSV file names, one a row."""
