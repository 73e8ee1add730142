"""New images in, results out: files to segment, output files, tables, the report page."""
