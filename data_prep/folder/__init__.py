"""A user's own folder of images, with one folder per class."""
