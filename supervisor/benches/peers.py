"""Measures the echo jobs of 16 bytes per second of Python's own pools with two workers.

Prints a line `NAME RATE` for each pool. Each pool is warm before the measurement starts. The
payloads differ, because pickle sends a repeated object only once.
"""
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool


def echo(payload):
    return payload


def measure(name, jobs, run):
    payloads = [number.to_bytes(16, "little") for number in range(jobs)]
    run(payloads[:200])
    began = time.perf_counter()
    done = run(payloads)
    took = time.perf_counter() - began
    assert done == jobs, (name, done)
    print(name, jobs / took, flush=True)


def consume(replies):
    return sum(len(reply) == 16 for reply in replies)


def main():
    with ProcessPoolExecutor(2) as pool:
        measure("map-1", 20_000, lambda jobs: consume(pool.map(echo, jobs)))
        measure("map-1000", 1_000_000, lambda jobs: consume(pool.map(echo, jobs, chunksize=1000)))
    with Pool(2) as pool:
        measure("pool-auto", 1_000_000, lambda jobs: consume(pool.map(echo, jobs)))


if __name__ == "__main__":
    main()
