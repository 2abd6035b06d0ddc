"""The tabs, a file or a folder each."""
