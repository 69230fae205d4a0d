"""The command line: its modes and the words for what it refuses."""
