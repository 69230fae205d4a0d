"""The data card: what a prepared data set holds, in words, numbers and pictures."""
