"""K-means with one answer: exact, resumable, the same bits on any machine."""
