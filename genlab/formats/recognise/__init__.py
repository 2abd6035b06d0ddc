"""What network a state dict is of, from names and shapes alone. Reads no file; no torch.

``leaves`` groups tensors into layers, ``order`` chains these by their widths, ``geometry`` finds
the strides and paddings by which sizes fit, ``parts`` puts activations between them, ``networks``
says which part is which, and ``guesses`` holds what no file says and a person can correct.
"""
