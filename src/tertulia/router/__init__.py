"""Which provider answers: candidates, their order, their health, and trying them until one begins."""
