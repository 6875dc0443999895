// 3x3 convolutions of stride 1 by Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308): a tile of 4x4 input pixels and a
// filter become 4x4 values each, whose product, value by value, becomes 2x2 output pixels: 16 multiplications in place of 36.
// The weights' gradient, its transpose, is F(3x3, 2x2). Operands lie in blocks of 16 channels, a vector of AVX-512; other
// processors keep oneDNN's. Rounding is that of a direct convolution, within a factor of two.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "scratch.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace winograd {
namespace {  // or the compiler would have to call what another library might replace, a load of a vector even

struct Sizes {
    int64_t n, c, h, w, out, pad;
    int64_t oh() const { return h + 2 * pad - 2; }
    int64_t ow() const { return w + 2 * pad - 2; }
    int64_t tile_rows() const { return n * ((oh() + 1) / 2); }  // of all images
    int64_t row_tiles() const { return (ow() + 1) / 2; }
    int64_t tiles() const { return tile_rows() * row_tiles(); }
};

constexpr int64_t LANES = 16;
constexpr int64_t HIGH = 8, WIDE = 2;   // rows, and vectors in each, of a product that stay in registers
constexpr int64_t STEP = WIDE * LANES;  // channels come in multiples of this

#ifdef __AVX512F__

constexpr int64_t TILES = 64, CHANNELS = 256;  // of a block, whose operands stay in the second-level cache
constexpr int64_t MOST_TILES = 1024;           // of which the weights' gradient keeps the transformed input whole

using Vector = __m512;

int64_t padded(int64_t count) { return (count + HIGH - 1) / HIGH * HIGH; }

// 16 operands, one a value of the tile: each (blocks x rows x LANES). A line apart, or all would compete for the same cache sets.
struct Operand {
    float *data;
    int64_t blocks, rows;
    int64_t block() const { return rows * LANES; }
    int64_t value() const { return blocks * block() + LANES; }
    int64_t size() const { return 16 * value(); }
    float *at(int64_t i, int64_t b, int64_t row = 0) const { return data + i * value() + b * block() + row * LANES; }
};

Vector load(const float *from) { return _mm512_loadu_ps(from); }
void store(float *to, Vector value) { _mm512_storeu_ps(to, value); }

// Four perfect shuffles.
inline __attribute__((always_inline)) void transpose(Vector (&v)[16]) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                  high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
#pragma GCC unroll 4
    for (int stage = 0; stage < 4; ++stage) {
        Vector shuffled[16];
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
            shuffled[2 * i] = _mm512_permutex2var_ps(v[i], low, v[i + 8]);
            shuffled[2 * i + 1] = _mm512_permutex2var_ps(v[i], high, v[i + 8]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) v[i] = shuffled[i];
    }
}

__mmask16 first(int64_t count) { return count < LANES ? (1 << count) - 1 : 0xffff; }

// pixels (columns x LANES, and room for LANES more): row y of 16 planes of h x w, from column -pad; zeros outside.
void read_row(const float *planes, int64_t h, int64_t w, int64_t y, int64_t pad, int64_t columns, float *pixels) {
    const bool inside = y >= 0 && y < h;
    std::fill_n(pixels, pad * LANES, 0.f);
    int64_t x = 0;
    for (; inside && x < w; x += LANES) {
        Vector v[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) v[i] = _mm512_maskz_loadu_ps(first(w - x), planes + (i * h + y) * w + x);
        transpose(v);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) store(pixels + (pad + x + i) * LANES, v[i]);
    }
    if (pad + x < columns) std::fill_n(pixels + (pad + x) * LANES, (columns - pad - x) * LANES, 0.f);
}

void write_row(float *planes, int64_t h, int64_t w, int64_t y, const float *pixels) {
    for (int64_t x = 0; x < w; x += LANES) {
        Vector v[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) v[i] = load(pixels + (x + i) * LANES);
        transpose(v);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) _mm512_mask_storeu_ps(planes + (i * h + y) * w + x, first(w - x), v[i]);
    }
}

int64_t pixels_of(const Sizes &s) { return 4 * (2 * s.row_tiles() + 2 + 2 + LANES) * LANES; }  // floats

// Tiles of 4x4 input pixels d -> B^T d B, for one block of channels and one row of tiles.
void transform_input(const Sizes &s, const float *x, int64_t block, int64_t row, const Operand &to, int64_t to_block, int64_t to_row,
                     float *pixels) {
    const int64_t columns = 2 * s.row_tiles() + 2, width = pixels_of(s) / 4, rows = (s.oh() + 1) / 2;
    const float *planes = x + (row / rows * s.c + block * LANES) * s.h * s.w;
    for (int64_t i = 0; i < 4; ++i) read_row(planes, s.h, s.w, 2 * (row % rows) + i - s.pad, s.pad, columns, pixels + i * width);
    auto column = [&](int64_t at, Vector *t) {
        const Vector d0 = load(pixels + at * LANES), d1 = load(pixels + width + at * LANES), d2 = load(pixels + 2 * width + at * LANES),
                     d3 = load(pixels + 3 * width + at * LANES);
        t[0] = d0 - d2; t[1] = d1 + d2; t[2] = d2 - d1; t[3] = d1 - d3;
    };
    Vector a[4], b[4], c[4], d[4];
    column(0, a);
    column(1, b);
    for (int64_t tile = 0; tile < s.row_tiles(); ++tile) {
        column(2 * tile + 2, c);
        column(2 * tile + 3, d);
        float *out = to.at(0, to_block, to_row + tile);
        const int64_t value = to.value();
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            store(out + 4 * i * value, a[i] - c[i]);
            store(out + (4 * i + 1) * value, b[i] + c[i]);
            store(out + (4 * i + 2) * value, c[i] - b[i]);
            store(out + (4 * i + 3) * value, b[i] - d[i]);
            a[i] = c[i];
            b[i] = d[i];
        }
    }
}

// Tiles of 2x2 output gradients d -> A d A^T.
void transform_gradient(const Sizes &s, const float *dy, int64_t block, int64_t row, const Operand &to, int64_t to_block, int64_t to_row,
                        float *pixels) {
    const int64_t columns = 2 * s.row_tiles(), width = pixels_of(s) / 4, rows = (s.oh() + 1) / 2;
    const float *planes = dy + (row / rows * s.out + block * LANES) * s.oh() * s.ow();
    for (int64_t i = 0; i < 2; ++i) read_row(planes, s.oh(), s.ow(), 2 * (row % rows) + i, 0, columns, pixels + i * width);
    for (int64_t tile = 0; tile < s.row_tiles(); ++tile) {
        const float *at = pixels + 2 * tile * LANES;
        const Vector d00 = load(at), d01 = load(at + LANES), d10 = load(at + width), d11 = load(at + width + LANES), none = {};
        const Vector left[] = {d00, d00 + d10, d00 - d10, none - d10}, right[] = {d01, d01 + d11, d01 - d11, none - d11};
        float *out = to.at(0, to_block, to_row + tile);
        const int64_t value = to.value();
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            store(out + 4 * i * value, left[i]);
            store(out + (4 * i + 1) * value, left[i] + right[i]);
            store(out + (4 * i + 2) * value, left[i] - right[i]);
            store(out + (4 * i + 3) * value, none - right[i]);
        }
    }
}

// Products m -> A^T m A, plus the bias: 2x2 output pixels.
void transform_output(const Sizes &s, const Operand &from, int64_t from_block, int64_t from_row, int64_t block, int64_t row,
                      const float *bias, float *y, float *pixels) {
    const int64_t width = pixels_of(s) / 4, rows = (s.oh() + 1) / 2, ty = row % rows;
    const Vector constant = bias ? load(bias + block * LANES) : Vector{};
    for (int64_t tile = 0; tile < s.row_tiles(); ++tile) {
        const float *in = from.at(0, from_block, from_row + tile);
        const int64_t value = from.value();
        Vector top[4], bottom[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const Vector m0 = load(in + i * value), m1 = load(in + (4 + i) * value), m2 = load(in + (8 + i) * value),
                         m3 = load(in + (12 + i) * value);
            top[i] = m0 + m1 + m2;
            bottom[i] = m1 - m2 - m3;
        }
        float *to = pixels + 2 * tile * LANES;
        store(to, top[0] + top[1] + top[2] + constant);
        store(to + LANES, top[1] - top[2] - top[3] + constant);
        store(to + width, bottom[0] + bottom[1] + bottom[2] + constant);
        store(to + width + LANES, bottom[1] - bottom[2] - bottom[3] + constant);
    }
    float *planes = y + (row / rows * s.out + block * LANES) * s.oh() * s.ow();
    for (int64_t i = 0; i < 2 && 2 * ty + i < s.oh(); ++i) write_row(planes, s.oh(), s.ow(), 2 * ty + i, pixels + i * width);
}

// Filters of 3x3 weights: of output channel o and input channel c at data + o * of_out + c * of_in; turned: by 180 degrees.
struct Filters {
    const float *data;
    int64_t of_out, of_in;
    bool turned;
    float scale;
};

// g -> G g G^T, for one block of output channels and one input channel.
void transform_filters(const Filters &filters, int64_t block, int64_t channel, float *to, int64_t value) {
    const float *from = filters.data + block * LANES * filters.of_out + channel * filters.of_in;
    Vector g[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) g[i] = _mm512_maskz_loadu_ps(0x1ff, from + i * filters.of_out);
    transpose(g);
    if (filters.turned)
        for (int i = 0; i < 4; ++i) std::swap(g[i], g[8 - i]);
    const Vector scale = _mm512_set1_ps(filters.scale), half = _mm512_set1_ps(0.5f);
    Vector t[4][3];
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
        const Vector g0 = g[i] * scale, g1 = g[3 + i] * scale, g2 = g[6 + i] * scale, outer = (g0 + g2) * half, middle = g1 * half;
        t[0][i] = g0; t[1][i] = outer + middle; t[2][i] = outer - middle; t[3][i] = g2;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const Vector outer = (t[i][0] + t[i][2]) * half, middle = t[i][1] * half;
        store(to + 4 * i * value, t[i][0]);
        store(to + (4 * i + 1) * value, outer + middle);
        store(to + (4 * i + 2) * value, outer - middle);
        store(to + (4 * i + 3) * value, t[i][2]);
    }
}

// Products d -> G^T d G, the gradient of 16 filters of one output channel, one after the other; `parts` are summed.
void transform_weights(const float *from, int64_t value, int64_t parts, int64_t part, float *to) {
    const Vector half = _mm512_set1_ps(0.5f);
    Vector t[3][4], g[16] = {};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        Vector d[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
            d[k] = load(from + (4 * k + i) * value);
            for (int64_t p = 1; p < parts; ++p) d[k] += load(from + p * part + (4 * k + i) * value);
        }
        const Vector sum = (d[1] + d[2]) * half;
        t[0][i] = d[0] + sum; t[1][i] = (d[1] - d[2]) * half; t[2][i] = sum + d[3];
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
        const Vector sum = (t[i][1] + t[i][2]) * half;
        g[3 * i] = t[i][0] + sum; g[3 * i + 1] = (t[i][1] - t[i][2]) * half; g[3 * i + 2] = sum + t[i][3];
    }
    transpose(g);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_mask_storeu_ps(to + 9 * i, 0x1ff, g[i]);
}

// result (WIDE blocks x HIGH x LANES) = or += sum over `count` of a times a row of b. TURNED: a has a row for each term and a lane
// for each row of the result; else a row for each row of the result, and a lane for each term, blocks of a_block apart.
template <bool TURNED>
void multiply(const float *a, int64_t a_block, const float *b, int64_t b_block, int64_t count, float *result, int64_t result_block,
              bool add) {
    Vector sum[HIGH][WIDE];
#pragma GCC unroll 16
    for (int i = 0; i < HIGH; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; ++j) sum[i][j] = add ? load(result + j * result_block + i * LANES) : Vector{};
    const int64_t run = TURNED ? 1 : LANES;
    for (int64_t start = 0; start < count; start += run) {
        const float *in = TURNED ? a + start * LANES : a + start / LANES * a_block;
        for (int64_t k = 0; k < run; ++k) {
            Vector row[WIDE];
#pragma GCC unroll 4
            for (int j = 0; j < WIDE; ++j) row[j] = load(b + j * b_block + (start + k) * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < HIGH; ++i) {
                const Vector factor = _mm512_set1_ps(in[TURNED ? i : i * LANES + k]);
#pragma GCC unroll 4
                for (int j = 0; j < WIDE; ++j) sum[i][j] = _mm512_fmadd_ps(factor, row[j], sum[i][j]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < HIGH; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; ++j) store(result + j * result_block + i * LANES, sum[i][j]);
}

// y = the convolution of x. Of the transformed input and filters the smaller is kept whole; the other is made block by block.
void convolve(const Sizes &s, const float *x, const Filters &filters, const float *bias, float *y) {
    const int64_t all_rows = s.tile_rows(), across = s.row_tiles();
    const bool keep_filters = s.out < s.tiles();
    const int64_t rows = keep_filters ? std::min(all_rows, std::max<int64_t>(1, TILES / across)) : all_rows,
                  outs = keep_filters ? s.out : STEP, channels = std::min(s.c, CHANNELS), tiles = padded(rows * across),
                  jobs = keep_filters ? (all_rows + rows - 1) / rows : s.out / outs;
    Operand kept = keep_filters ? Operand{nullptr, s.out / LANES, s.c} : Operand{nullptr, s.c / LANES, tiles};
    const Operand own = keep_filters ? Operand{nullptr, channels / LANES, tiles} : Operand{nullptr, outs / LANES, channels},
                  product = {nullptr, outs / LANES, tiles};
    const int64_t mine = own.size() + product.size() + pixels_of(s);
    kept.data = scratch.floats(kept.size() + mine * omp_get_max_threads());
#pragma omp parallel
    {
        Operand part = own, m = product;
        part.data = kept.data + kept.size() + omp_get_thread_num() * mine;
        m.data = part.data + part.size();
        float *pixels = m.data + m.size();
        if (keep_filters) {
#pragma omp for
            for (int64_t block = 0; block < s.out / LANES; ++block)
                for (int64_t c = 0; c < s.c; ++c) transform_filters(filters, block, c, kept.at(0, block, c), kept.value());
        } else {
#pragma omp for collapse(2)
            for (int64_t block = 0; block < s.c / LANES; ++block)
                for (int64_t row = 0; row < all_rows; ++row) transform_input(s, x, block, row, kept, block, row * across, pixels);
        }
#pragma omp for schedule(static)
        for (int64_t job = 0; job < jobs; ++job) {
            const int64_t first_row = keep_filters ? job * rows : 0, end_row = std::min(all_rows, first_row + rows),
                          first_out = keep_filters ? 0 : job * outs / LANES;
            for (int64_t c = 0; c < s.c; c += channels) {
                const int64_t count = std::min(channels, s.c - c);
                if (keep_filters)
                    for (int64_t block = 0; block < count / LANES; ++block)
                        for (int64_t row = first_row; row < end_row; ++row)
                            transform_input(s, x, c / LANES + block, row, part, block, (row - first_row) * across, pixels);
                else
                    for (int64_t block = 0; block < outs / LANES; ++block)
                        for (int64_t i = 0; i < count; ++i)
                            transform_filters(filters, first_out + block, c + i, part.at(0, block, i), part.value());
                const Operand &a = keep_filters ? part : kept, &b = keep_filters ? kept : part;
                const int64_t a_from = keep_filters ? 0 : c / LANES, b_from = keep_filters ? c : 0;
                for (int64_t i = 0; i < 16; ++i)
                    for (int64_t block = 0; block < outs / LANES; block += WIDE)
                        for (int64_t tile = 0; tile < (end_row - first_row) * across; tile += HIGH)
                            multiply<false>(a.at(i, a_from, tile), a.block(), b.at(i, block, b_from), b.block(), count,
                                            m.at(i, block, tile), m.block(), c > 0);
            }
            for (int64_t block = 0; block < outs / LANES; ++block)
                for (int64_t row = first_row; row < end_row; ++row)
                    transform_output(s, m, block, (row - first_row) * across, first_out + block, row, bias, y, pixels);
        }
    }
}

void forward(const Sizes &s, const float *x, const float *weight, const float *bias, float scale, float *y) {
    convolve(s, x, {weight, 9 * s.c, 9, false, scale}, bias, y);
}

// The convolution of dy with the filters turned and transposed.
void backward_data(const Sizes &s, const float *dy, const float *weight, float scale, float *dx) {
    convolve({s.n, s.out, s.oh(), s.ow(), s.c, 2 - s.pad}, dy, {weight, 9, 9 * s.c, true, scale}, nullptr, dx);
}

// Few tiles: the input's transform is kept for all of them, and a job does a few output channels. Many: a job does some rows of
// tiles for all channels; each thread's sums over its jobs are added at the end.
void backward_weights(const Sizes &s, const float *x, const float *dy, float *dweight, float *dbias) {
    const int64_t all_rows = s.tile_rows(), across = s.row_tiles(), threads = omp_get_max_threads();
    const bool keep = s.tiles() <= MOST_TILES && s.out / STEP >= threads;
    const int64_t rows = keep ? all_rows : std::min(all_rows, std::max<int64_t>(1, 2 * TILES / across)), tiles = rows * across,
                  outs = keep ? STEP : s.out, channels = keep ? std::min(s.c, CHANNELS) : s.c, step = keep ? STEP : s.c,
                  jobs = keep ? s.out / outs : (all_rows + rows - 1) / rows;
    const Operand input = {nullptr, channels / LANES, tiles}, gradient = {nullptr, outs / LANES, tiles}, product = {nullptr, step / LANES, outs};
    const int64_t kept = keep ? input.size() : 0, mine = product.size() + outs + gradient.size() + input.size() - kept + pixels_of(s);
    float *memory = scratch.floats(kept + mine * threads);
#pragma omp parallel
    {
        Operand m = product, z = gradient, v = input;
        m.data = memory + kept + omp_get_thread_num() * mine;
        float *sums = m.data + m.size();
        z.data = sums + outs;
        v.data = keep ? memory : z.data + z.size();
        float *pixels = keep ? z.data + z.size() : v.data + v.size();
        if (!keep) std::fill_n(m.data, m.size() + outs, 0.f);
        for (int64_t from = 0; from < s.c; from += channels) {
            const int64_t blocks = std::min(channels, s.c - from) / LANES;
            if (keep) {
#pragma omp for collapse(2)
                for (int64_t block = 0; block < blocks; ++block)
                    for (int64_t row = 0; row < all_rows; ++row) transform_input(s, x, from / LANES + block, row, v, block, row * across, pixels);
            }
#pragma omp for schedule(static)
            for (int64_t job = 0; job < jobs; ++job) {
                const int64_t first_row = keep ? 0 : job * rows, end_row = std::min(all_rows, first_row + rows),
                              count = (end_row - first_row) * across, first_out = keep ? job * outs : 0;
                if (keep) std::fill_n(sums, outs, 0.f);
                for (int64_t block = 0; block < (keep ? 0 : blocks); ++block)
                    for (int64_t row = first_row; row < end_row; ++row)
                        transform_input(s, x, block, row, v, block, (row - first_row) * across, pixels);
                for (int64_t block = 0; block < outs / LANES; ++block) {
                    for (int64_t row = first_row; row < end_row; ++row)
                        transform_gradient(s, dy, first_out / LANES + block, row, z, block, (row - first_row) * across, pixels);
                    Vector sum = {};  // the sixth value is the sum of a tile
                    for (int64_t tile = 0; tile < count; ++tile) sum += load(z.at(5, block, tile));
                    store(sums + block * LANES, load(sums + block * LANES) + sum);
                }
                for (int64_t c = 0; c < blocks; c += step / LANES) {
                    for (int64_t i = 0; i < 16; ++i)
                        for (int64_t block = 0; block < step / LANES; block += WIDE)
                            for (int64_t out = 0; out < outs; out += HIGH)
                                multiply<true>(z.at(i, out / LANES) + out % LANES, 0, v.at(i, c + block), v.block(), count,
                                               m.at(i, block, out), m.block(), !keep);
                    for (int64_t out = 0; out < (keep ? outs : 0); ++out)
                        for (int64_t block = 0; block < step / LANES; ++block)
                            transform_weights(m.at(0, block, out), m.value(), 1, 0,
                                              dweight + ((first_out + out) * s.c + from + (c + block) * LANES) * 9);
                }
                if (keep && dbias) std::copy_n(sums, outs, dbias + first_out);
            }
        }
        if (!keep) {
#pragma omp for
            for (int64_t out = 0; out < s.out; ++out) {
                for (int64_t block = 0; block < s.c / LANES; ++block)
                    transform_weights(memory + (m.at(0, block, out) - m.data), m.value(), omp_get_num_threads(), mine,
                                      dweight + (out * s.c + block * LANES) * 9);
                if (!dbias) continue;
                dbias[out] = 0;
                for (int64_t part = 0; part < omp_get_num_threads(); ++part) dbias[out] += memory[part * mine + m.size() + out];
            }
        }
    }
}

#endif

}  // namespace
}  // namespace winograd
