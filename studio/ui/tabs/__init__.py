"""The studio's tabs, one file each. A tab registers a `Tab` (`studio/ui/registry.py`)."""
