"""SpERT: its scheme (numpy) and its module (torch)."""
