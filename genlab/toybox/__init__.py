"""Toybox: its world, composer, prompt adherence, judge, training stages and evaluation."""
