"""A package, so that a browser can be shared by its tests and by no others."""
