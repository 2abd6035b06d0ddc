"""The modes of the Stable Diffusion tab, one file each, and the controls that they share."""
