"""Published weights: download, file formats, checks, and conversion of names and layouts."""
