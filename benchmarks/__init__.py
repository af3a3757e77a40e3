"""Speed of codewrap beside its peers: real programs on real PTYs, interleaved in one run.

Run it as `python -m benchmarks echo|throughput|startup` from the top of the repository; see README.md here.
"""
