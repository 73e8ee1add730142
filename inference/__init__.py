"""New images: find the files, segment them, explain empty ones, write results, tables and report."""
