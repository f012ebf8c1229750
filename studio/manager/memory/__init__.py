"""What is in memory and under which budget: the planner, residency, and what is done when memory runs out."""
