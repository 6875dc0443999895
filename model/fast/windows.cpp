// gamma and beta of the distinct label windows (windows.py) from a SPADE layer's parameters, and backward. Three stages:
//
// 1. The code table: what each class code adds to a hidden vector at each of the K = k * k offsets.
// 2. Hidden vectors, one for each distinct window: relu of the bias plus K rows of that table.
// 3. gamma and beta of each double window: the bias plus, over its K hidden vectors, W_k times the vector. Where double windows
//    outnumber hidden vectors, W_k times every hidden vector is one matrix product, of which each double window sums K rows;
//    on small maps the product is taken of the K vectors of each double window side by side.
#include <omp.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "onednn.h"
#include "scratch.h"
#include "signals.h"
#include "threads.h"

namespace {

constexpr int64_t TILE = 16;         // double windows transposed at a time: a cache line of the table
constexpr int64_t AHEAD = 6;         // windows between a prefetch and its use
constexpr double ALIKE = 0.85;       // hidden vectors by double windows, above which they are side by side (measured)

// gamma's and beta's weights as one matrix (2 * out x width * K), and of it `count` rows from `first`.
struct Weights {
    const float *gamma, *beta;
    int64_t out, width, first, count;
    template <int K>
    const float *row(int64_t o) const {
        const int64_t at = first + o;
        return at < out ? gamma + at * width * K : beta + (at - out) * width * K;
    }
};

// laid (K * WIDE x width): offset by offset, zero rows behind the last.
template <int K, int WIDE>
void lay_out(const Weights &weights, float *laid) {
    for (int64_t o = 0; o < WIDE; ++o) {
        const float *in = o < weights.count ? weights.row<K>(o) : nullptr;
        for (int k = 0; k < K; ++k) {
            float *to = laid + (k * WIDE + o) * weights.width;
            for (int64_t i = 0; i < weights.width; ++i) to[i] = in ? in[i * K + k] : 0;
        }
    }
}

// table (count x rows) = bias + sum over k of products[window[row, k], k] (WIDE).
template <int K, int WIDE>
void sum_rows(const float *products, const int32_t *window, int64_t rows, int64_t count, const float *bias, float *table) {
    constexpr int64_t STEP = K * WIDE;
    for (int64_t start = 0; start < rows; start += TILE) {
        const int64_t n = std::min(TILE, rows - start);
        alignas(64) float block[WIDE][TILE];
        for (int64_t b = 0; b < n; ++b) {
            const int32_t *w = window + (start + b) * K;
            if (start + b + AHEAD < rows)
                for (int k = 0; k < K; ++k)
                    for (int64_t o = 0; o < WIDE; o += 16) __builtin_prefetch(products + w[k + AHEAD * K] * STEP + k * WIDE + o);
            alignas(64) float sum[WIDE] = {};
            for (int k = 0; k < K; ++k) {
                const float *in = products + w[k] * STEP + k * WIDE;
                for (int64_t o = 0; o < WIDE; ++o) sum[o] += in[o];
            }
            for (int64_t o = 0; o < WIDE; ++o) block[o][b] = sum[o];
        }
        for (int64_t o = 0; o < count; ++o)
            for (int64_t b = 0; b < n; ++b) table[o * rows + start + b] = block[o][b] + bias[o];
    }
}

// Backward of sum_rows: adds dtable (count x rows) to dproducts, which hold zeros.
template <int K, int WIDE>
void spread_rows(const float *dtable, const int32_t *window, int64_t rows, int64_t count, float *dproducts) {
    constexpr int64_t STEP = K * WIDE;
    for (int64_t start = 0; start < rows; start += TILE) {
        const int64_t n = std::min(TILE, rows - start);
        alignas(64) float block[TILE][WIDE] = {};
        for (int64_t o = 0; o < count; ++o)
            for (int64_t b = 0; b < n; ++b) block[b][o] = dtable[o * rows + start + b];
        for (int64_t b = 0; b < n; ++b) {
            const int32_t *w = window + (start + b) * K;
            if (start + b + AHEAD < rows)
                for (int k = 0; k < K; ++k)
                    for (int64_t o = 0; o < WIDE; o += 16) __builtin_prefetch(dproducts + w[k + AHEAD * K] * STEP + k * WIDE + o, 1);
            for (int k = 0; k < K; ++k) {
                float *to = dproducts + w[k] * STEP + k * WIDE;
                for (int64_t o = 0; o < WIDE; ++o) to[o] += block[b][o];
            }
        }
    }
}

template <int K, int WIDE>
void product(const float *hidden, const int32_t *window, const float *gamma, const float *gamma_bias, const float *beta,
             const float *beta_bias, float *table, int64_t rows, int64_t width, int64_t out, int64_t hidden_rows) {
    const int64_t each = K * WIDE * (width + hidden_rows);
    float *memory = scratch.floats(omp_get_max_threads() * each);
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < 2 * out; first += WIDE) {
        const Weights weights{gamma, beta, out, width, first, std::min<int64_t>(WIDE, 2 * out - first)};
        float *laid = memory + omp_get_thread_num() * each, *products = laid + K * WIDE * width;
        lay_out<K, WIDE>(weights, laid);
        dnnl_sgemm('N', 'T', hidden_rows, K * WIDE, width, 1, hidden, width, laid, width, 0, products, K * WIDE);
        float bias[WIDE];
        for (int64_t o = 0; o < weights.count; ++o) bias[o] = first + o < out ? gamma_bias[first + o] : beta_bias[first + o - out];
        sum_rows<K, WIDE>(products, window, rows, weights.count, bias, table + first * rows);
    }
}

template <int K, int WIDE>
void product_backward(const float *hidden, const int32_t *window, const float *gamma, const float *beta, const float *dtable,
                      float *dhidden, float *dweight, float *dbias, int64_t rows, int64_t width, int64_t out,
                      int64_t hidden_rows) {
    const int64_t each = K * WIDE * (width + hidden_rows) + hidden_rows * width;
    float *memory = scratch.floats(omp_get_max_threads() * each);
    std::vector<const float *> parts(omp_get_max_threads());  // each thread's share of dhidden; the first one's is dhidden itself
    const auto add_parts = [&](int64_t from, int64_t to) {    // in their order: the same bits in every run
        for (size_t part = 1; part < parts.size(); ++part)
            for (int64_t i = from; parts[part] && i < to; ++i) dhidden[i] += parts[part][i];
    };
#pragma omp parallel
    {
        const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        float *laid = memory + thread * each, *dproducts = laid + K * WIDE * width,
              *mine = thread ? dproducts + K * WIDE * hidden_rows : dhidden;
#pragma omp for schedule(static)
        for (int64_t first = 0; first < 2 * out; first += WIDE) {
            const Weights weights{gamma, beta, out, width, first, std::min<int64_t>(WIDE, 2 * out - first)};
            lay_out<K, WIDE>(weights, laid);
            std::fill_n(dproducts, hidden_rows * K * WIDE, 0.f);
            spread_rows<K, WIDE>(dtable + first * rows, window, rows, weights.count, dproducts);
            dnnl_sgemm('N', 'N', hidden_rows, width, K * WIDE, 1, dproducts, K * WIDE, laid, width, parts[thread] ? 1 : 0, mine, width);
            parts[thread] = mine;
            dnnl_sgemm('T', 'N', K * WIDE, width, hidden_rows, 1, dproducts, K * WIDE, hidden, width, 0, laid, width);
            for (int64_t o = 0; o < weights.count; ++o) {
                float *to = dweight + (first + o) * width * K, sum = 0;
                for (int k = 0; k < K; ++k)
                    for (int64_t i = 0; i < width; ++i) to[i * K + k] = laid[(k * WIDE + o) * width + i];
                const float *d = dtable + (first + o) * rows;
#pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < rows; ++i) sum += d[i];
                dbias[first + o] = sum;
            }
        }
        add_parts(hidden_rows * width * thread / threads, hidden_rows * width * (thread + 1) / threads);
    }
}

// block (rows x width * K): the vectors of hidden that each window names, side by side as convolution weights lie.
template <int K>
void gather(const float *hidden, const int32_t *window, int64_t rows, int64_t width, float *block) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t i = 0; i < width; ++i)
            for (int k = 0; k < K; ++k) block[(row * width + i) * K + k] = hidden[window[row * K + k] * width + i];
}

template <int K>
void small_product(const float *hidden, const int32_t *window, const float *gamma, const float *gamma_bias, const float *beta,
                   const float *beta_bias, float *table, int64_t rows, int64_t width, int64_t out) {
    const int64_t inner = width * K;
    float *block = scratch.floats(rows * inner);
    gather<K>(hidden, window, rows, width, block);
    for (int64_t o = 0; o < 2 * out; ++o) std::fill_n(table + o * rows, rows, o < out ? gamma_bias[o] : beta_bias[o - out]);
    dnnl_sgemm('N', 'T', out, rows, inner, 1, gamma, inner, block, inner, 1, table, rows);
    dnnl_sgemm('N', 'T', out, rows, inner, 1, beta, inner, block, inner, 1, table + out * rows, rows);
}

template <int K>
void small_product_backward(const float *hidden, const int32_t *window, const float *gamma, const float *beta, const float *dtable,
                            float *dhidden, float *dweight, float *dbias, int64_t rows, int64_t width, int64_t out,
                            int64_t hidden_rows) {
    const int64_t inner = width * K;
    float *block = scratch.floats(rows * inner);
    gather<K>(hidden, window, rows, width, block);
    dnnl_sgemm('N', 'N', 2 * out, inner, rows, 1, dtable, rows, block, inner, 0, dweight, inner);
    dnnl_sgemm('T', 'N', rows, inner, out, 1, dtable, rows, gamma, inner, 0, block, inner);
    dnnl_sgemm('T', 'N', rows, inner, out, 1, dtable + out * rows, rows, beta, inner, 1, block, inner);
    std::fill_n(dhidden, hidden_rows * width, 0.f);
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t i = 0; i < width; ++i)
            for (int k = 0; k < K; ++k) dhidden[window[row * K + k] * width + i] += block[(row * width + i) * K + k];
    for (int64_t o = 0; o < 2 * out; ++o) {
        dbias[o] = 0;
        for (int64_t row = 0; row < rows; ++row) dbias[o] += dtable[o * rows + row];
    }
}

// Of spade_window_product on one thread.
double nanoseconds(int64_t rows, int64_t k, int64_t width, int64_t out, int64_t hidden_rows) {
    return 2.0 * out * k * (std::min(rows, hidden_rows) * width / 50.0 + rows / 10.0);
}

// call(K, WIDE): K as the compiler knows it; WIDE is narrow where wide blocks would leave threads without work.
template <typename Call>
void with_sizes(int64_t k, int64_t out, const Call &call) {
    const bool narrow = 2 * out < 32 * omp_get_max_threads();
    const auto of = [&](auto constant) {
        narrow ? call(constant, std::integral_constant<int, 16>()) : call(constant, std::integral_constant<int, 32>());
    };
    k == 9 ? of(std::integral_constant<int, 9>()) : k == 1 ? of(std::integral_constant<int, 1>()) : of(std::integral_constant<int, 25>());
}

}  // namespace

extern "C" {

// table (k * count + 1 x out): row offset * count + c is weight[:, codes[c] / 2, offset], plus weight[:, edge, offset] for odd
// codes; the last row, for 'outside', is zero. weight is (out x channels x k); edge: the edges' channel, 0 for none.
void spade_code_table(const float *weight, const int32_t *codes, float *table, int64_t count, int64_t k, int64_t out,
                      int64_t channels, int64_t edge) {
    for (int64_t o = 0; o < out; ++o)
        for (int64_t c = 0; c < count; ++c) {
            const float *in = weight + (o * channels + codes[c] / 2) * k, *of_edge = weight + (o * channels + edge) * k;
            for (int64_t at = 0; at < k; ++at) table[(at * count + c) * out + o] = in[at] + (codes[c] % 2 ? of_edge[at] : 0);
        }
    std::fill_n(table + k * count * out, out, 0.f);
}

void spade_code_table_backward(const float *dtable, const int32_t *codes, float *dweight, int64_t count, int64_t k, int64_t out,
                               int64_t channels, int64_t edge) {
    std::fill_n(dweight, out * channels * k, 0.f);
    for (int64_t o = 0; o < out; ++o)
        for (int64_t c = 0; c < count; ++c) {
            float *to = dweight + (o * channels + codes[c] / 2) * k, *of_edge = dweight + (o * channels + edge) * k;
            for (int64_t at = 0; at < k; ++at) {
                const float d = dtable[(at * count + c) * out + o];
                to[at] += d;
                if (codes[c] % 2) of_edge[at] += d;
            }
        }
}

// hidden (rows x width) = relu(bias + sum over k of table[window[row, k]]); bias may be null: then no relu either.
void spade_window_sums(const float *table, const int32_t *window, const float *bias, float *hidden, int64_t rows, int64_t k,
                       int64_t width) {
    const Threads threads(0.1 * rows * k * width);
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
    const Threads threads(0.1 * rows * k * width);
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

// table (2 * out x rows): gamma in the first rows, then beta, of `rows` double windows that name k rows of hidden (hidden_rows x
// width) each, the last of which is 'outside'. Weights (out x width * k), biases (out); k is 1, 9 or 25.
void spade_window_product(const float *hidden, const int32_t *window, const float *gamma, const float *gamma_bias,
                          const float *beta, const float *beta_bias, float *table, int64_t rows, int64_t k, int64_t width,
                          int64_t out, int64_t hidden_rows) {
    const std::lock_guard<std::mutex> lock(scratch.mutex);
    const SignalsWait signals;
    const Threads threads(nanoseconds(rows, k, width, out, hidden_rows));
    with_sizes(k, out, [&](auto K, auto WIDE) {
        hidden_rows > ALIKE * rows ?
            small_product<K>(hidden, window, gamma, gamma_bias, beta, beta_bias, table, rows, width, out) :
            product<K, WIDE>(hidden, window, gamma, gamma_bias, beta, beta_bias, table, rows, width, out, hidden_rows);
    });
}

// dweight is (2 * out x width * k), dbias (2 * out): gamma's, then beta's.
void spade_window_product_backward(const float *hidden, const int32_t *window, const float *gamma, const float *beta,
                                   const float *dtable, float *dhidden, float *dweight, float *dbias, int64_t rows, int64_t k,
                                   int64_t width, int64_t out, int64_t hidden_rows) {
    const std::lock_guard<std::mutex> lock(scratch.mutex);
    const SignalsWait signals;
    const Threads threads(2 * nanoseconds(rows, k, width, out, hidden_rows));
    with_sizes(k, out, [&](auto K, auto WIDE) {
        hidden_rows > ALIKE * rows ?
            small_product_backward<K>(hidden, window, gamma, beta, dtable, dhidden, dweight, dbias, rows, width, out, hidden_rows) :
            product_backward<K, WIDE>(hidden, window, gamma, beta, dtable, dhidden, dweight, dbias, rows, width, out, hidden_rows);
    });
}

}  // extern "C"
