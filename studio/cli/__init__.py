"""The command line: one file a command, drawn from the same declarations as the form. Knows no torch until a command runs."""
