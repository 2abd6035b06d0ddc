"""What a visitor has set and run: the controls by name, the address that holds them, kept runs."""
