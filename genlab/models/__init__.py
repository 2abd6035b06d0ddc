"""The models there are: registry, sources, downloads, and the cache of loaded ones."""
