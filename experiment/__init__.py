"""The command line, the images and the results of a run: folder, tables, model card, figures. Also series of runs."""
