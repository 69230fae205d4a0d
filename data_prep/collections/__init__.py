"""Code that several sources share: metadata tables, DICOM folders, labels, patients, composite data sets."""
