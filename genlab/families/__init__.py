"""The model families, one folder each; what they have in common is in `description`."""
