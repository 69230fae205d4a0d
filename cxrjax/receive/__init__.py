"""A model as a DICOM node (extra `cxrjax[dicom]`): a PACS sends radiographs, and gets the results as DICOM objects.

`scp` accepts, `job_queue` stores durably, `examiner` predicts, `scu` sends, and `receiver` runs these together. A line
of the log names a radiograph by its number in the queue; no attribute of a patient is in a line or in a file's name.
"""
