"""What `builder demo` shows: the example repository with a history."""
