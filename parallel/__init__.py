"""More than one process: machines that train together, Dask clusters, images larger than memory."""
