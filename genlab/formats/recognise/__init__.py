"""What network a state dict is of, from names and shapes alone. Reads no file; no torch.

``leaves`` groups tensors into layers, ``order`` chains these by their widths, ``geometry`` finds
the strides and paddings by which sizes fit, ``parts`` puts activations between them, ``drawing``
and ``readers`` find the parts that make pictures and look at them, ``networks`` says which network
that is, ``refusals`` why it is none, and ``guesses`` holds what a person can correct.
"""
