"""Training a network further: the last stages, from the head that frozen features gave, and never blindly.

    frozen head ─▶ views of every picture ─▶ frozen stages, once ─▶ last stages, epoch by epoch ─▶ judge

What lies below the trained stages is run once by the fast engine and kept on disk. The result is a backbone
like any other: a Spec with a file of weights, which the engines run and a model carries.
"""
