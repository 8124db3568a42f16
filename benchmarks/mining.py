"""How long exact search for pairs among many pictures takes: `python -m benchmarks.mining --pictures 100000`.

Vectors are drawn, four around each of many places, of 512 numbers as CLIP ViT-B/32 has them; encoding is not counted.
"""

import argparse
import json
import resource
import time

import numpy as np

from imgdiff_assets.method.mining import alike

DIMENSION = 512
NEARNESS = 0.35
LOW, HIGH, MOST = 0.85, 0.98, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    count = parser.parse_args().pictures
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(-(-count // 4), DIMENSION)).astype(np.float32).repeat(4, 0)[:count]
    vectors += NEARNESS * rng.normal(size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"{number:08x}" for number in rng.permutation(count)]
    before, processor = time.perf_counter(), time.process_time()
    pairs = alike(vectors, names, LOW, HIGH, MOST)
    print(
        json.dumps(
            {
                "pictures": count,
                "dimension": DIMENSION,
                "pairs": len(pairs),
                "seconds": round(time.perf_counter() - before, 1),
                "processor_seconds": round(time.process_time() - processor, 1),
                "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
