"""The same network in each library: one module per library, with `training` and `inference`.

Each function takes a :class:`benchmarks.description.Network` and returns a
:class:`benchmarks.description.Subject`. Only ``pocket`` imports pocketcnn, so that a process
measures one library only.
"""
