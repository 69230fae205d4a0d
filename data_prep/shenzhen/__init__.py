"""The tuberculosis radiographs of Shenzhen No. 3 Hospital."""
