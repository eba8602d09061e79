"""What is kept in the database: callers' tokens, and what was spent."""
