"""V7 Labs' COVID-19 X-ray dataset: lungs drawn by hand as polygons."""
