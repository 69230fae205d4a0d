"""Tasks, steps and the loop that trains."""
