"""How many echo jobs of 16 bytes do two workers of Python's own pools do in a second? Says a
line `NAME RATE` for each way. The pool is warm before the clock starts, and the payloads
differ: pickle would send an object that comes again only once."""
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
