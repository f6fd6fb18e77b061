"""What the studio answers, one file a topic."""
