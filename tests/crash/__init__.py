"""A disk that loses power or space at any of its operations, and what must be true afterwards."""
