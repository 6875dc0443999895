// Moving averages in one pass over memory.
#include <cstdint>

extern "C" {

// average += share * (value - average), `count` elements.
void spade_follow(float *average, const float *value, int64_t count, float share) {
#pragma omp parallel for simd schedule(static) if (count > 1 << 16)
    for (int64_t i = 0; i < count; ++i) average[i] += share * (value[i] - average[i]);
}

}  // extern "C"
