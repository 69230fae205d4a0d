"""V7 Labs' COVID-19 X-ray dataset: manually drawn lung polygons."""
