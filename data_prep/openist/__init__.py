"""The normal radiographs of OpenIST, with lung masks."""
