"""A small renderer for the sample `objects`: surfaces, light, a lens and a film, in NumPy.

    thing ▶ patches ▶ points nearest to the eye ▶ light and shadow ▶ lens ▶ picture

A surface is a function of two numbers, `u` and `v`, each from 0 to 1. It is sampled more densely than the
picture's pixels; of the points that fall on one pixel the nearest to the eye stays (`scene.py`). Colour and
normal are computed for those alone.

Parts of a data set are dealt out by content, so the same seed should give the same pixels on every machine.
Hence arrays meet only operations that IEEE 754 rounds exactly (+, -, *, /, square root): no powers, no matrix
products, no library's sine, and no sum of floats whose order is open.
"""
