"""What the steps of the built-in flows do."""
