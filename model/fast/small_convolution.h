// Convolutions of few output pixels: one matrix product with the weights as they lie, which oneDNN would lay out anew every time.
#include <algorithm>
#include <cstring>

#include "onednn.h"

namespace small {

constexpr int64_t PIXELS = 64;   // of all images, up to which this is faster (measured)
constexpr int64_t CHANNELS = 16; // at least

struct Sizes {
    int64_t n, c, h, w, out, k, stride, pad, oh, ow;
    int64_t pixels() const { return n * oh * ow; }
    int64_t inner() const { return c * k * k; }
    int64_t scratch() const { return (inner() + out) * pixels(); }  // floats
};

// columns (c * k * k x pixels): the value of x that each weight meets at each output pixel; BACKWARD: adds them to x instead.
template <bool BACKWARD>
void columns(const Sizes &s, float *x, float *columns) {
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < s.c; ++c) {
        float *at = columns + c * s.k * s.k * s.pixels();
        for (int64_t ky = 0; ky < s.k; ++ky)
            for (int64_t kx = 0; kx < s.k; ++kx)
                for (int64_t n = 0; n < s.n; ++n) {
                    float *plane = x + (n * s.c + c) * s.h * s.w;
                    for (int64_t oy = 0; oy < s.oh; ++oy)
                        for (int64_t ox = 0; ox < s.ow; ++ox, ++at) {
                            const int64_t y = oy * s.stride + ky - s.pad, z = ox * s.stride + kx - s.pad;
                            const bool inside = y >= 0 && y < s.h && z >= 0 && z < s.w;
                            if (!BACKWARD) *at = inside ? plane[y * s.w + z] : 0;
                            else if (inside) plane[y * s.w + z] += *at;
                        }
                }
    }
}

// Between (n, out, oh * ow), as tensors lie, and (out, pixels).
void channels_first(const Sizes &s, const float *from, float *to) {
    const int64_t p = s.oh * s.ow;
    for (int64_t n = 0; n < s.n; ++n)
        for (int64_t o = 0; o < s.out; ++o) std::memcpy(to + o * s.pixels() + n * p, from + (n * s.out + o) * p, p * sizeof(float));
}

void forward(const Sizes &s, float *x, const float *weight, const float *bias, float scale, float *y, float *scratch) {
    const int64_t pixels = s.pixels(), p = s.oh * s.ow;
    float *product = scratch + s.inner() * pixels;
    columns<false>(s, x, scratch);
    dnnl_sgemm('N', 'N', s.out, pixels, s.inner(), scale, weight, s.inner(), scratch, pixels, 0, product, pixels);
    for (int64_t n = 0; n < s.n; ++n)
        for (int64_t o = 0; o < s.out; ++o)
            for (int64_t i = 0; i < p; ++i) y[(n * s.out + o) * p + i] = product[o * pixels + n * p + i] + (bias ? bias[o] : 0);
}

void backward_data(const Sizes &s, const float *dy, const float *weight, float scale, float *dx, float *scratch) {
    const int64_t pixels = s.pixels();
    float *d = scratch + s.inner() * pixels;
    channels_first(s, dy, d);
    dnnl_sgemm('T', 'N', s.inner(), pixels, s.out, scale, weight, s.inner(), d, pixels, 0, scratch, pixels);
    std::fill_n(dx, s.n * s.c * s.h * s.w, 0.f);
    columns<true>(s, dx, scratch);
}

void backward_weights(const Sizes &s, float *x, const float *dy, float *dweight, float *dbias, float *scratch) {
    const int64_t pixels = s.pixels();
    float *d = scratch + s.inner() * pixels;
    channels_first(s, dy, d);
    columns<false>(s, x, scratch);
    dnnl_sgemm('N', 'T', s.out, s.inner(), pixels, 1, d, pixels, scratch, pixels, 0, dweight, s.inner());
    for (int64_t o = 0; dbias && o < s.out; ++o) {
        dbias[o] = 0;
        for (int64_t i = 0; i < pixels; ++i) dbias[o] += d[o * pixels + i];
    }
}

}  // namespace small
