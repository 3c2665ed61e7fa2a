"""What another laboratory would publish."""
