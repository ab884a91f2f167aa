"""How layers are written: a function for each, which adds its nodes and names its output.

A function takes the nodes to add to, the layer, and the `Value` of each input.
"""
