"""How far an answer can be trusted: what is looked into once the score is known."""
