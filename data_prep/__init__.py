"""Convert collections of radiographs to prepared data sets: one folder per source, one example format for all."""
