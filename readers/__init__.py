"""Reading what users bring: image files, folders and zip files, masks, labels of other programs."""
