// Instance norm with leaky ReLU, and the L1 distance, one pass each way. A plane, or a block, is worked on by one thread in the
// order of its values: the same bits whatever the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "threads.h"

namespace {

constexpr int64_t RUN = 256;     // float sums are over short runs, so that loops vectorize; runs are added in double
constexpr int64_t BLOCK = 4096;  // values of an L1 distance that a thread sums at a time

}  // namespace

extern "C" {

// y = leaky_relu((x - mean) * scale, slope) of each plane (p values); mean and scale = 1 / sqrt(variance + epsilon) are written.
void spade_instance_norm(const float *x, float *y, float *mean, float *scale, int64_t planes, int64_t p, float epsilon, float slope) {
    const Threads threads(0.7 * planes * p);
#pragma omp parallel for schedule(static)
    for (int64_t plane = 0; plane < planes; ++plane) {
        const float *in = x + plane * p;
        float *out = y + plane * p;
        double sum = 0, squares = 0;
        for (int64_t start = 0; start < p; start += RUN) {
            const int64_t end = std::min(p, start + RUN);
            float s = 0;
#pragma omp simd reduction(+ : s)
            for (int64_t i = start; i < end; ++i) s += in[i];
            sum += s;
        }
        const float m = float(sum / p);
        for (int64_t start = 0; start < p; start += RUN) {
            const int64_t end = std::min(p, start + RUN);
            float q = 0;
#pragma omp simd reduction(+ : q)
            for (int64_t i = start; i < end; ++i) q += (in[i] - m) * (in[i] - m);
            squares += q;
        }
        const float r = float(1 / std::sqrt(squares / p + epsilon));
        mean[plane] = m;
        scale[plane] = r;
#pragma omp simd
        for (int64_t i = 0; i < p; ++i) {
            const float z = (in[i] - m) * r;
            out[i] = z > 0 ? z : slope * z;
        }
    }
}

// dx = scale * (d - mean of d - z * mean of d * z), where z is the normalized x and d the gradient before the leaky ReLU.
void spade_instance_norm_backward(const float *x, const float *mean, const float *scale, const float *dy, float *dx,
                                  int64_t planes, int64_t p, float slope) {
    const Threads threads(planes * p);
#pragma omp parallel for schedule(static)
    for (int64_t plane = 0; plane < planes; ++plane) {
        const float *in = x + plane * p, *dout = dy + plane * p, m = mean[plane], r = scale[plane];
        float *out = dx + plane * p;
        double sum = 0, product = 0;
        for (int64_t start = 0; start < p; start += RUN) {
            const int64_t end = std::min(p, start + RUN);
            float s = 0, q = 0;
#pragma omp simd reduction(+ : s, q)
            for (int64_t i = start; i < end; ++i) {
                const float z = (in[i] - m) * r, d = z > 0 ? dout[i] : slope * dout[i];
                s += d;
                q += d * z;
            }
            sum += s;
            product += q;
        }
        const float a = float(sum / p), b = float(product / p);
#pragma omp simd
        for (int64_t i = 0; i < p; ++i) {
            const float z = (in[i] - m) * r, d = z > 0 ? dout[i] : slope * dout[i];
            out[i] = r * (d - a - z * b);
        }
    }
}

// Mean of |a - b|.
double spade_l1(const float *a, const float *b, int64_t count) {
    const Threads threads(0.3 * count);
    std::vector<double> parts((count + BLOCK - 1) / BLOCK);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < int64_t(parts.size()); ++part)
        for (int64_t start = part * BLOCK; start < std::min(count, (part + 1) * BLOCK); start += RUN) {
            const int64_t end = std::min(count, start + RUN);
            float s = 0;
#pragma omp simd reduction(+ : s)
            for (int64_t i = start; i < end; ++i) s += std::fabs(a[i] - b[i]);
            parts[part] += s;
        }
    double sum = 0;
    for (double part : parts) sum += part;
    return sum / count;
}

// da = factor * sign(a - b); a NaN stays one.
void spade_l1_backward(const float *a, const float *b, float *da, int64_t count, float factor) {
    const Threads threads(0.3 * count);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        const float d = a[i] - b[i];
        da[i] = d > 0 ? factor : d < 0 ? -factor : d * factor;
    }
}

}  // extern "C"
