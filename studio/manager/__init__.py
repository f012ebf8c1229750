"""What is on disk (catalog) and what is in memory (manager). The catalog, the sniffing and the planner load no torch."""
