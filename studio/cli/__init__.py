"""The command line: one file for each command, built from the same declarations as the form. Torch is loaded only by commands that need it."""
