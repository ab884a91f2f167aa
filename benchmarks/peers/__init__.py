"""The same network in each library: a module a library, each with `training` and `inference`.

Each function takes a :class:`benchmarks.description.Network` and returns a
:class:`benchmarks.description.Subject`. No module here but ``pocket`` imports pocketcnn, so that a
process measures one library only.
"""
