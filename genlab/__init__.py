"""GenLab: a lab for teaching generative models, live and side by side."""

__version__ = "0.1.0"
