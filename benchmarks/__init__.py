"""How fast, how large and how scalable pocketcnn is, compared with other libraries.

``python -m benchmarks --help`` lists the benchmarks; docs/benchmarks.md says how they are measured.
This package is not part of the wheel.
"""
