"""Measures Toybox."""
