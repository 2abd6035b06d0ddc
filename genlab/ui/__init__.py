"""The page: tabs and what they share. No torch, no file of a checkpoint."""
