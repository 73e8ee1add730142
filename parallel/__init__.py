"""More than one process: several machines that train together, Dask clusters, scans larger than memory."""
