"""What several upstreams have in common: metadata tables, DICOM folders, composites; and dummy pictures of them."""
