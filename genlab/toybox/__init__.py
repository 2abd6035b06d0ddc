"""Toybox: a world of prompts that a machine can check, and all that was built round it.

Its composer, training stages, judge, prompt adherence and evaluation; the pipeline itself is served
as any other Stable Diffusion, by `families.stable_diffusion`. Nothing is imported here, so that who
only reads prompts does not wait for torch.
"""
