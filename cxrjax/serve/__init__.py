"""A model as a local web page and REST interface (extra `cxrjax[serve]`): radiographs in, predictions out.

The server listens on the loopback interface unless another address is named, keeps uploads and results in memory alone,
and never receives the names of files.
"""
