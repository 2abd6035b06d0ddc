"""Measures Toybox: does it follow its prompts, and do its pictures differ and look real?"""
