"""Settings that picture files carry, from this program and others. Reads files' bytes; no torch, no window, no network."""
