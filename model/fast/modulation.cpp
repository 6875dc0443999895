// SPADE in one pass over the pixels: normalize, scale by 1 + gamma and shift by beta, leaky ReLU; and the way back.
//
// x is (N, C, P), P pixels. gamma and beta are rows c and C + c of `table`: (2C, width), shared by all images and indexed by
// pixel (N, P), or, where `pixel` is null, (N, 2C, P) with a column per pixel. A channel is worked on by one thread, in the
// order of its pixels, so that sums have the same bits in every run, whatever the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "threads.h"

namespace {

constexpr int64_t BLOCK = 1024;  // pixels worked on at a time: the block's buffers stay in the first-level cache

struct Layout {
    int64_t n, c, p, width;
    const int32_t *pixel;
    bool per_image;  // statistics of each image (instance norm), not of the batch
    int64_t statistic(int64_t image, int64_t channel) const { return per_image ? image * c + channel : channel; }
    const float *row(const float *table, int64_t image, int64_t r) const {
        return table + (pixel ? r * width : (image * 2 * c + r) * p);
    }
};

void sums(const float *x, int64_t count, double offset, double &sum, double &squares) {
    // Float sums over short runs, so that the loop vectorizes; runs are added in double.
    for (int64_t start = 0; start < count; start += 256) {
        const int64_t end = std::min(count, start + 256);
        float s = 0, q = 0;
        const float o = float(offset);
#pragma omp simd reduction(+ : s, q)
        for (int64_t i = start; i < end; ++i) { const float d = x[i] - o; s += d; q += d * d; }
        sum += s; squares += q;
    }
}

}  // namespace

extern "C" {

// Mean, biased variance and scale = 1 / sqrt(variance + epsilon), (C) over the batch or (N * C) per image. The running ones, unless
// null, become keep times themselves and 1 - keep times the batch's, the variance unbiased.
void spade_statistics(const float *x, int64_t n, int64_t c, int64_t p, int per_image, float epsilon, float *mean, float *variance,
                      float *scale, float *running_mean, float *running_variance, float keep) {
    const Threads threads(0.3 * n * c * p);
    const int64_t groups = per_image ? n * c : c, images = per_image ? 1 : n, step = c * p;
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < groups; ++g) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < images; ++i) sums(x + g * p + i * step, p, 0, sum, squares);
        const double count = double(images * p), m = sum / count;
        sum = squares = 0;
        for (int64_t i = 0; i < images; ++i) sums(x + g * p + i * step, p, m, sum, squares);
        mean[g] = float(m + sum / count);
        variance[g] = float(std::max(0.0, squares / count - (sum / count) * (sum / count)));
        scale[g] = float(1 / std::sqrt(double(variance[g]) + epsilon));
        if (running_mean) {
            const double unbiased = variance[g] * count / std::max(count - 1, 1.0);
            running_mean[g] = float(keep * double(running_mean[g]) + (1 - keep) * mean[g]);
            running_variance[g] = float(keep * double(running_variance[g]) + (1 - keep) * unbiased);
        }
    }
}

void spade_modulate(const float *x, const float *mean, const float *scale, const float *table, const int32_t *pixel,
                    float *y, int64_t n, int64_t c, int64_t p, int64_t width, int per_image, float slope) {
    const Threads threads(n * c * p);
    const Layout layout{n, c, p, width, pixel, per_image != 0};
#pragma omp parallel for schedule(static)
    for (int64_t channel = 0; channel < c; ++channel) {
        for (int64_t image = 0; image < n; ++image) {
            const int64_t s = layout.statistic(image, channel), start = (image * c + channel) * p;
            const float m = mean[s], r = scale[s];
            const float *gamma = layout.row(table, image, channel), *beta = layout.row(table, image, c + channel);
            const float *in = x + start;
            float *out = y + start;
            if (pixel) {
                const int32_t *index = pixel + image * p;
#pragma omp simd
                for (int64_t i = 0; i < p; ++i) {
                    const float z = (in[i] - m) * r * (1 + gamma[index[i]]) + beta[index[i]];
                    out[i] = z > 0 ? z : slope * z;
                }
            } else {
#pragma omp simd
                for (int64_t i = 0; i < p; ++i) {
                    const float z = (in[i] - m) * r * (1 + gamma[i]) + beta[i];
                    out[i] = z > 0 ? z : slope * z;
                }
            }
        }
    }
}

// From dy: dtable; dx before the way back through the statistics, d / d normalized, scaled by nothing yet; and the two sums
// over each statistic's pixels that this way needs: of that, and of that times normalized.
void spade_modulate_backward(const float *x, const float *mean, const float *scale, const float *table, const int32_t *pixel,
                             const float *dy, float *dtable, float *dnormalized, double *sum, double *product, int64_t n,
                             int64_t c, int64_t p, int64_t width, int per_image, float slope) {
    const Threads threads(2.0 * n * c * p);
    const Layout layout{n, c, p, width, pixel, per_image != 0};
#pragma omp parallel
    {
        std::vector<float> by_gamma(BLOCK), by_beta(BLOCK);
#pragma omp for schedule(static)
        for (int64_t channel = 0; channel < c; ++channel) {
            if (pixel) {
                std::fill_n(dtable + channel * width, width, 0.f);
                std::fill_n(dtable + (c + channel) * width, width, 0.f);
            }
            double s1 = 0, s2 = 0;
            for (int64_t image = 0; image < n; ++image) {
                const int64_t s = layout.statistic(image, channel);
                const float m = mean[s], r = scale[s];
                const float *gamma = layout.row(table, image, channel), *beta = layout.row(table, image, c + channel);
                float *dgamma = const_cast<float *>(layout.row(dtable, image, channel));
                float *dbeta = const_cast<float *>(layout.row(dtable, image, c + channel));
                if (per_image) s1 = s2 = 0;
                for (int64_t start = 0; start < p; start += BLOCK) {
                    const int64_t count = std::min(BLOCK, p - start), at = (image * c + channel) * p + start;
                    const float *in = x + at, *out_gradient = dy + at;
                    float *result = dnormalized + at;
                    const int32_t *index = pixel ? pixel + image * p + start : nullptr;
                    float a1 = 0, a2 = 0;
                    if (pixel) {
#pragma omp simd reduction(+ : a1, a2)
                        for (int64_t i = 0; i < count; ++i) {
                            const float normalized = (in[i] - m) * r, g = 1 + gamma[index[i]];
                            const float d = normalized * g + beta[index[i]] > 0 ? out_gradient[i] : slope * out_gradient[i];
                            by_beta[i] = d; by_gamma[i] = d * normalized; result[i] = d * g;
                            a1 += d * g; a2 += d * g * normalized;
                        }
                        // Neighbours mostly share a window: their sum stays in registers until the window changes.
                        int32_t last = index[0];
                        float g = 0, b = 0;
                        for (int64_t i = 0; i < count; ++i) {
                            if (index[i] != last) { dgamma[last] += g; dbeta[last] += b; g = b = 0; last = index[i]; }
                            g += by_gamma[i]; b += by_beta[i];
                        }
                        dgamma[last] += g; dbeta[last] += b;
                    } else {
#pragma omp simd reduction(+ : a1, a2)
                        for (int64_t i = 0; i < count; ++i) {
                            const float normalized = (in[i] - m) * r, g = 1 + gamma[start + i];
                            const float d = normalized * g + beta[start + i] > 0 ? out_gradient[i] : slope * out_gradient[i];
                            dbeta[start + i] = d; dgamma[start + i] = d * normalized; result[i] = d * g;
                            a1 += d * g; a2 += d * g * normalized;
                        }
                    }
                    s1 += a1; s2 += a2;
                }
                sum[s] = s1; product[s] = s2;
            }
        }
    }
}

// dnormalized -> dx in place: scale * (d - mean of d - normalized * mean of d * normalized), the means as given.
void spade_normalize_backward(const float *x, const float *mean, const float *scale, const float *mean_d,
                              const float *mean_product, float *d, int64_t n, int64_t c, int64_t p, int per_image) {
    const Threads threads(0.3 * n * c * p);
#pragma omp parallel for schedule(static)
    for (int64_t plane = 0; plane < n * c; ++plane) {
        const int64_t s = per_image ? plane : plane % c;
        const float m = mean[s], r = scale[s], a = mean_d[s], b = mean_product[s];
        const float *in = x + plane * p;
        float *out = d + plane * p;
#pragma omp simd
        for (int64_t i = 0; i < p; ++i) out[i] = r * (out[i] - a - (in[i] - m) * r * b);
    }
}

}  // extern "C"
