"""Upstream's files onto this machine: whole, checked, and gone on with where they were cut off."""
