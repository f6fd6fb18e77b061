"""FILE → MODEL: our own files, everybody else's, and where to fetch them. Nothing in a file is ever executed."""
