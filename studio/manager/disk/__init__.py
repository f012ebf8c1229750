"""What is on disk: headers, sniffing, folders, the catalog. No torch."""
