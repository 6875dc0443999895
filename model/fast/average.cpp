// Moving averages in one pass over memory.
#include <cstdint>
#include <numeric>

#include "threads.h"

extern "C" {

// average += share * (value - average) of each of `tensors`, which have `counts` elements; where the share is 1, a copy.
void spade_follow(float *const *averages, const float *const *values, const int64_t *counts, const float *shares,
                  int64_t tensors) {
    const Threads threads(0.3 * std::accumulate(counts, counts + tensors, int64_t(0)));
#pragma omp parallel
    for (int64_t t = 0; t < tensors; ++t) {
        float *average = averages[t];
        const float *value = values[t], share = shares[t];
#pragma omp for simd schedule(static) nowait
        for (int64_t i = 0; i < counts[t]; ++i) average[i] = share == 1 ? value[i] : average[i] + share * (value[i] - average[i]);
    }
}

}  // extern "C"
