"""Bring your own checkpoint: a file from elsewhere becomes a checkpoint folder like any other.

``convert`` reads and writes, ``pictures`` looks at what the network draws before it is believed,
``archives`` unpacks folders that come as ZIP, ``graphs`` takes ONNX files, ``from_hub`` fetches by
id, and ``visitors`` does all this for a visitor's upload. Nothing of a file is ever run.
"""
