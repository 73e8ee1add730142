"""Read the files of users and of published data sets: images, folders and zip files, masks, labels of other programs."""
