"""Nouns: frozen values, checked at birth. They know nothing of storage, clocks or processes."""
