"""What travels as what: the types, and how a body is written and read."""
