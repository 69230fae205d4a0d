"""A user's own folder of images, a folder a class."""
