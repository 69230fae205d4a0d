"""The 502 radiographs of Oh, Park and Ye 2020."""
