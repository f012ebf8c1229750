"""The studio's tabs, one file each. A tab registers a function that draws it; the order of imports is the order shown."""
