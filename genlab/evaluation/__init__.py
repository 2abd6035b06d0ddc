"""Measures pictures: FID, coverage, sharpness, diversity, and draws what is measured."""
