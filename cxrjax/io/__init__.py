"""Readers of files that others wrote. The reason with which they refuse one quotes nothing of the file."""
