"""Speed of codewrap beside its peers: real programs on real PTYs, interleaved in one run.

Run it as `python -m benchmarks all|echo|throughput|...` from the top of the repository; see README.md here.
"""
