"""Parts of ``predict.py``: find image files, explain images without objects, write results, tables and report."""
