"""Measures of what a model makes: does the picture show what was asked, and how sure is the judge."""
