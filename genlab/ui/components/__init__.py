"""The pieces that tabs share."""
