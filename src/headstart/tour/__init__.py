"""The ideas of transfer learning as a page that shows real runs: one file per chapter, `walk` goes through all.

Each chapter has a function that computes a frozen value with its numbers and one that renders that value. The
numbers are those of the run in which the page was written; what is trained are our own networks, on the
embedded digits or on the user's pictures.
"""
