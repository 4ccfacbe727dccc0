"""Bytes to the array that a backbone wants, by one function for every path."""
