"""Files of radiographs: how they are found and read."""
