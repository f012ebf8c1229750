"""From the files that people have to folders that can be mapped: imports, their child process, pickles."""
