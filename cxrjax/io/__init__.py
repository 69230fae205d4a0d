"""Finding and reading of files from untrusted sources. No error message quotes their content."""
