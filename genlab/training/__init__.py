"""The loops that made checkpoints/, one file a model; nothing here knows the page."""
