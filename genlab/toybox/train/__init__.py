"""Trains Toybox in stages."""
