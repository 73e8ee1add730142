"""What a run leaves: its folder, tables, model card and figures; series of runs."""
