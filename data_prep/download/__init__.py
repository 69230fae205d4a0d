"""Download the files of a source: verify checksums and resume interrupted downloads."""
