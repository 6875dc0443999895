// Spectral norm of a weight matrix (rows x columns): its largest singular value, and the gradient through the quotient.
//
// Sums are taken per row, or per block of columns, by one thread in a fixed order: the same bits whatever the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "threads.h"

namespace {

constexpr int64_t BLOCK = 512;       // columns worked on at a time
constexpr double NEVER_ZERO = 1e-12;  // as in model/convolution.py

double dot(const float *a, const float *b, int64_t count) {
    double total = 0;  // float sums over short runs vectorize; runs are added in double
    for (int64_t start = 0; start < count; start += 256) {
        const int64_t end = std::min(count, start + 256);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = start; i < end; ++i) sum += a[i] * b[i];
        total += sum;
    }
    return total;
}

void normalize(const std::vector<double> &from, float *to) {
    double squares = 0;
    for (double value : from) squares += value * value;
    const double norm = std::max(std::sqrt(squares), NEVER_ZERO);
    for (size_t i = 0; i < from.size(); ++i) to[i] = float(from[i] / norm);
}

}  // namespace

extern "C" {

// u . W v, after v = W^T u and u = W v, each to length 1, if `advance`. used_u and used_v become what u and v are.
double spade_singular_value(const float *weight, int64_t rows, int64_t columns, float *u, float *v, int advance,
                            float *used_u, float *used_v) {
    const Threads threads(0.2 * rows * columns);
    if (advance) {
        std::vector<double> product(columns);
#pragma omp parallel for schedule(static)
        for (int64_t start = 0; start < columns; start += BLOCK) {
            const int64_t count = std::min(BLOCK, columns - start);
            float sums[BLOCK] = {};
            for (int64_t row = 0; row < rows; ++row) {
                const float *in = weight + row * columns + start, factor = u[row];
#pragma omp simd
                for (int64_t i = 0; i < count; ++i) sums[i] += in[i] * factor;
            }
            std::copy(sums, sums + count, product.begin() + start);
        }
        normalize(product, v);
    }
    std::vector<double> product(rows);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) product[row] = dot(weight + row * columns, v, columns);
    if (advance) normalize(product, u);
    double sigma = 0;
    for (int64_t row = 0; row < rows; ++row) sigma += u[row] * product[row];
    std::copy_n(u, rows, used_u);
    std::copy_n(v, columns, used_v);
    return sigma;
}

// From the gradient of W / sigma, in place, that of W: (gradient - (gradient . W / sigma) u v^T) / sigma.
void spade_spectral_norm_backward(const float *weight, int64_t rows, int64_t columns, const float *u, const float *v,
                                  double sigma, float *gradient) {
    const Threads threads(0.3 * rows * columns);
    std::vector<double> products(rows);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row)
        products[row] = dot(gradient + row * columns, weight + row * columns, columns);
    double product = 0;
    for (double of_row : products) product += of_row;
    const float scale = float(1 / sigma);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
        float *out = gradient + row * columns;
        const float factor = float(product / sigma * u[row]);
#pragma omp simd
        for (int64_t i = 0; i < columns; ++i) out[i] = (out[i] - factor * v[i]) * scale;
    }
}

}  // extern "C"
