"""Features of pictures: the one inference loop, and the store that keeps them."""
