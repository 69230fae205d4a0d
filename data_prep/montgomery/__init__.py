"""The tuberculosis radiographs of Montgomery County."""
