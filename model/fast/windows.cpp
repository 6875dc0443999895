// gamma and beta of the distinct label windows (windows.py), two levels: hidden vectors as sums of table rows, then one
// matrix product over the k x k hidden vectors of each double window, whose operand is gathered a block at a time.
#include <omp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "onednn.h"

namespace {

constexpr int64_t BLOCK = 192;  // double windows gathered at a time: their operand fits the second-level cache
constexpr int64_t FEW = 1024;   // up to so many, the threads share a matrix product instead of the windows

// Rows of `hidden` (rows x width) named by window (count x K) -> block (count x width * K), as convolution weights lie. What is
// written lies side by side, and K is known to the compiler: that is nearly twice as fast as row after row.
template <int K>
void gather(const float *hidden, const int32_t *window, int64_t count, int64_t width, float *block) {
    for (int64_t i = 0; i < count; ++i, block += width * K) {
        const float *rows[K];
        for (int offset = 0; offset < K; ++offset) rows[offset] = hidden + int64_t(window[i * K + offset]) * width;
        for (int64_t j = 0; j < width; ++j)
            for (int offset = 0; offset < K; ++offset) block[j * K + offset] = rows[offset][j];
    }
}

void gather(const float *hidden, const int32_t *window, int64_t count, int64_t k, int64_t width, float *block) {
    k == 9 ? gather<9>(hidden, window, count, width, block) : gather<25>(hidden, window, count, width, block);
}

// The same by all threads.
void gather_together(const float *hidden, const int32_t *window, int64_t count, int64_t k, int64_t width, float *block) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; ++i) gather(hidden, window + i * k, 1, k, width, block + i * width * k);
}

// Memory that is not filled with zeros first.
std::unique_ptr<float[]> room(int64_t count) { return std::unique_ptr<float[]>(new float[count]); }

// The way back: adds each column of block to the row of `hidden` it was taken from.
template <int K>
void scatter(const float *block, const int32_t *window, int64_t count, int64_t width, float *hidden) {
    for (int64_t i = 0; i < count; ++i, block += width * K) {
        float *rows[K];
        for (int offset = 0; offset < K; ++offset) rows[offset] = hidden + int64_t(window[i * K + offset]) * width;
        for (int64_t j = 0; j < width; ++j)
            for (int offset = 0; offset < K; ++offset) rows[offset][j] += block[j * K + offset];
    }
}

void scatter(const float *block, const int32_t *window, int64_t count, int64_t k, int64_t width, float *hidden) {
    k == 9 ? scatter<9>(block, window, count, width, hidden) : scatter<25>(block, window, count, width, hidden);
}

// Add the parts (each `count` floats) into `total`, in their order, so that the bits are the same every run.
void add_parts(const std::vector<std::vector<float>> &parts, int64_t count, float *total) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; ++i) {
        float sum = 0;
        for (const auto &part : parts) sum += part.empty() ? 0 : part[i];
        total[i] = sum;
    }
}

}  // namespace

extern "C" {

// hidden (rows x width) = relu(bias + sum over k of table[window[row, k]]); bias may be null: then no relu either.
void spade_window_sums(const float *table, const int32_t *window, const float *bias, float *hidden, int64_t rows, int64_t k,
                       int64_t width) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
        float *out = hidden + row * width;
        for (int64_t i = 0; i < width; ++i) out[i] = bias ? bias[i] : 0;
        for (int64_t offset = 0; offset < k; ++offset) {
            const float *in = table + int64_t(window[row * k + offset]) * width;
            for (int64_t i = 0; i < width; ++i) out[i] += in[i];
        }
        if (bias)
            for (int64_t i = 0; i < width; ++i) out[i] = out[i] < 0 ? 0 : out[i];  // keeps NaN
    }
}

// dtable (entries x width) and, unless null, dbias (width); hidden is null where the forward pass had no relu.
void spade_window_sums_backward(const float *dhidden, const float *hidden, const int32_t *window, float *dtable, float *dbias,
                                int64_t rows, int64_t k, int64_t width, int64_t entries) {
    std::fill_n(dtable, entries * width, 0.f);
    if (dbias) std::fill_n(dbias, width, 0.f);
#pragma omp parallel
    {
        // Each thread owns a range of columns: no sum is shared.
        const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
        const int64_t from = width * thread / threads, to = width * (thread + 1) / threads;
        std::vector<float> d(to - from);
        for (int64_t row = 0; row < rows; ++row) {
            for (int64_t i = from; i < to; ++i) {
                const int64_t at = row * width + i;
                d[i - from] = hidden && !(hidden[at] > 0) ? 0 : dhidden[at];
                if (dbias) dbias[i] += d[i - from];
            }
            for (int64_t offset = 0; offset < k; ++offset) {
                float *out = dtable + int64_t(window[row * k + offset]) * width;
                for (int64_t i = from; i < to; ++i) out[i] += d[i - from];
            }
        }
    }
}

// table (2 * out x rows): gamma in the first rows, beta behind; each is weight (out x width * k) times the k hidden vectors of
// each of `rows` windows, plus bias (out). k is 9 or 25, of windows of 3 x 3 or 5 x 5; the last row of hidden is 'outside'.
void spade_window_product(const float *hidden, const int32_t *window, const float *gamma, const float *gamma_bias,
                          const float *beta, const float *beta_bias, float *table, int64_t rows, int64_t k, int64_t width,
                          int64_t out) {
    const int64_t inner = k * width;
    const auto multiply = [&](int64_t start, int64_t count, const float *block) {
        dnnl_sgemm('N', 'T', out, count, inner, 1, gamma, inner, block, inner, 0, table + start, rows);
        dnnl_sgemm('N', 'T', out, count, inner, 1, beta, inner, block, inner, 0, table + out * rows + start, rows);
    };
    if (rows <= FEW) {
        const auto block = room(rows * inner);
        gather_together(hidden, window, rows, k, width, block.get());
        multiply(0, rows, block.get());
    } else {
#pragma omp parallel
        {
            const auto block = room(BLOCK * inner);
#pragma omp for schedule(static)
            for (int64_t start = 0; start < rows; start += BLOCK) {
                const int64_t count = std::min(BLOCK, rows - start);
                gather(hidden, window + start * k, count, k, width, block.get());
                multiply(start, count, block.get());
            }
        }
    }
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < 2 * out; ++o) {
        const float bias = o < out ? gamma_bias[o] : beta_bias[o - out];
        for (int64_t i = 0; i < rows; ++i) table[o * rows + i] += bias;
    }
}

// dweight is (2 * out x width * k), dbias (2 * out): gamma's, then beta's.
void spade_window_product_backward(const float *hidden, const int32_t *window, const float *gamma, const float *beta,
                                   const float *dtable, float *dhidden, float *dweight, float *dbias, int64_t rows, int64_t k,
                                   int64_t width, int64_t out, int64_t hidden_rows) {
    const int64_t inner = k * width;
    const float *dbeta = dtable + out * rows;
    const auto multiply = [&](int64_t start, int64_t count, float *block, float *my_dweight, float *my_dhidden) {
        dnnl_sgemm('N', 'N', 2 * out, inner, count, 1, dtable + start, rows, block, inner, 1, my_dweight, inner);
        dnnl_sgemm('T', 'N', count, inner, out, 1, dtable + start, rows, gamma, inner, 0, block, inner);
        dnnl_sgemm('T', 'N', count, inner, out, 1, dbeta + start, rows, beta, inner, 1, block, inner);
        scatter(block, window + start * k, count, k, width, my_dhidden);
    };
    if (rows <= FEW) {
        const auto block = room(rows * inner);
        std::fill_n(dweight, 2 * out * inner, 0.f);
        std::fill_n(dhidden, hidden_rows * width, 0.f);
        gather_together(hidden, window, rows, k, width, block.get());
        multiply(0, rows, block.get(), dweight, dhidden);
    } else {
        std::vector<std::vector<float>> dhidden_parts(omp_get_max_threads()), dweight_parts(omp_get_max_threads());
#pragma omp parallel
        {
            const auto block = room(BLOCK * inner);
            auto &my_dhidden = dhidden_parts[omp_get_thread_num()], &my_dweight = dweight_parts[omp_get_thread_num()];
            my_dhidden.assign(hidden_rows * width, 0);
            my_dweight.assign(2 * out * inner, 0);
#pragma omp for schedule(static)
            for (int64_t start = 0; start < rows; start += BLOCK) {
                const int64_t count = std::min(BLOCK, rows - start);
                gather(hidden, window + start * k, count, k, width, block.get());
                multiply(start, count, block.get(), my_dweight.data(), my_dhidden.data());
            }
        }
        add_parts(dhidden_parts, hidden_rows * width, dhidden);
        add_parts(dweight_parts, 2 * out * inner, dweight);
    }
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < 2 * out; ++o) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < rows; ++i) sum += dtable[o * rows + i];
        dbias[o] = sum;
    }
}

}  // extern "C"
