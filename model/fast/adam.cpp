// Adam over all parameters of a network in one call, with the rounding of Paddle's.
#include <cmath>
#include <cstdint>
#include <numeric>

#include "threads.h"

extern "C" {

// `tensors` parameters of `counts` elements, their gradients and moments; power1, power2: beta1 and beta2 to the step of each,
// which are advanced.
void spade_adam(float *const *parameters, const float *const *gradients, float *const *first, float *const *second,
                const int64_t *counts, float *const *power1, float *const *power2, int64_t tensors, float rate, float epsilon,
                float beta1, float beta2) {
    const Threads threads(0.7 * std::accumulate(counts, counts + tensors, int64_t(0)));
#pragma omp parallel
    for (int64_t t = 0; t < tensors; ++t) {
        float *p = parameters[t], *m = first[t], *v = second[t];
        const float *g = gradients[t], root = std::sqrt(1 - *power2[t]), step = rate * (root / (1 - *power1[t]));
#pragma omp for simd schedule(static) nowait
        for (int64_t i = 0; i < counts[t]; ++i) {
            m[i] = beta1 * m[i] + (1 - beta1) * g[i];
            v[i] = beta2 * v[i] + (1 - beta2) * (g[i] * g[i]);
            p[i] -= step * (m[i] / (std::sqrt(v[i]) + epsilon * root));
        }
    }
    for (int64_t t = 0; t < tensors; ++t) {
        *power1[t] *= beta1;
        *power2[t] *= beta2;
    }
}

}  // extern "C"
