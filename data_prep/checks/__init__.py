"""What can be wrong with a data set: the same radiograph twice, a label that goes with its source."""
