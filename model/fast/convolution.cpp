// Convolution forward and backward: 3x3 by winograd.h, few pixels by small_convolution.h, the others over oneDNN. Tensors are plain
// NCHW float32; oneDNN chooses its own layouts inside (in bfloat16 where wanted), and what differs is reordered on the way in and out.
#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <vector>

#include "onednn.h"
#include "scratch.h"
#include "signals.h"
#include "small_convolution.h"
#include "threads.h"
#include "winograd.h"

namespace {

void check(int status, const char *what) {
    if (status) throw std::runtime_error(what);
}

struct Shape {
    int64_t n, c, h, w, out, kh, kw, stride, pad_h, pad_w, dilation;
    int64_t oh() const { return (h + 2 * pad_h - dilation * (kh - 1) - 1) / stride + 1; }
    int64_t ow() const { return (w + 2 * pad_w - dilation * (kw - 1) - 1) / stride + 1; }
    double nanoseconds() const {  // on one thread; few pixels: as long as reading the weights takes
        const double weights = double(out) * c * kh * kw, flop = 2 * weights * n * oh() * ow();
        return is_small() ? flop / 100 + weights : flop / 100;
    }
    bool is_winograd() const {
#ifdef __AVX512F__
        return kh == 3 && kw == 3 && stride == 1 && dilation == 1 && pad_h == pad_w && pad_h <= 2 && c % winograd::STEP == 0 &&
               out % winograd::STEP == 0 && n * oh() * ow() >= 8;  // less is slower
#else
        return false;
#endif
    }
    bool is_pointwise() const { return kh == 1 && kw == 1 && stride == 1 && pad_h == 0 && pad_w == 0; }
    bool is_small() const {
        return n * oh() * ow() <= small::PIXELS && out >= small::CHANNELS && kh == kw && pad_h == pad_w && dilation == 1;
    }
};

// Plans that are kept. A training needs some hundreds; pictures of many sizes, as scoring may meet, would need ever more.
const size_t MOST_PLANS = 2048;

enum Pass { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS };

// Rows of x and of y that belong together: the first, their number, and the rows of padding above and below them.
struct Strip { int64_t x, x_rows, y, y_rows, above, below; };

// Large convolutions are done in strips of rows, about so many bytes of x and y at a time: their reordered copies would else
// be the largest memory of a whole training step. The weights' gradient, a sum over all rows, is done at once.
const int64_t STRIP_BYTES = 16 << 20;

std::vector<Strip> strips(const Shape &s, Pass pass) {
    const int64_t oh = s.oh(), bytes = 4 * s.n * (s.c * s.h * s.w + s.out * oh * s.ow());
    if (pass == BACKWARD_WEIGHTS || s.stride > 1 || s.dilation > 1 || bytes <= 2 * STRIP_BYTES)
        return {{0, s.h, 0, oh, s.pad_h, s.pad_h}};
    const int64_t all = pass == FORWARD ? oh : s.h, count = std::min(all, (bytes + STRIP_BYTES - 1) / STRIP_BYTES),
                  rows = (all + count - 1) / count;
    std::vector<Strip> result;
    for (int64_t first = 0; first < all; first += rows) {
        const int64_t end = std::min(all, first + rows);
        // Row i of y comes from the rows i - pad_h .. i - pad_h + kh - 1 of x.
        const int64_t x = pass == FORWARD ? std::max<int64_t>(0, first - s.pad_h) : first,
                      x_end = pass == FORWARD ? std::min(s.h, end - s.pad_h + s.kh - 1) : end,
                      y = pass == FORWARD ? first : std::max<int64_t>(0, first + s.pad_h - s.kh + 1),
                      y_end = pass == FORWARD ? end : std::min(oh, end + s.pad_h), above = x + s.pad_h - y;
        result.push_back({x, x_end - x, y, y_end - y, above, y_end - y + s.kh - 1 - above - (x_end - x)});
    }
    return result;
}

dnnl_engine_t engine() {
    static dnnl_engine_t instance = [] {
        dnnl_engine_t created;
        check(dnnl_engine_create(&created, dnnl_cpu, 0), "engine");
        return created;
    }();
    return instance;
}

dnnl_stream_t stream() {
    static dnnl_stream_t instance = [] {
        dnnl_stream_t created;
        check(dnnl_stream_create(&created, engine(), dnnl_stream_default_flags), "stream");
        return created;
    }();
    return instance;
}

// Of `sizes`, the third of which is a part of `rows` rows in memory.
dnnl_memory_desc_t plain(std::vector<int64_t> sizes, int64_t rows = 0) {
    dnnl_dims_t dims = {}, strides = {};
    int64_t step = 1;
    for (int i = int(sizes.size()) - 1; i >= 0; --i) {
        dims[i] = sizes[i];
        strides[i] = step;
        step *= i == 2 && rows ? rows : sizes[i];
    }
    dnnl_memory_desc_t desc;
    check(dnnl_memory_desc_create_with_strides(&desc, int(sizes.size()), dims, dnnl_f32, strides), "layout");
    return desc;
}

dnnl_memory_desc_t any(std::vector<int64_t> sizes, int type) {
    dnnl_dims_t dims = {};
    for (size_t i = 0; i < sizes.size(); ++i) dims[i] = sizes[i];
    dnnl_memory_desc_t desc;
    check(dnnl_memory_desc_create_with_tag(&desc, int(sizes.size()), dims, type, dnnl_format_tag_any), "layout");
    return desc;
}

// An operand: the caller's plain memory, oneDNN's own, and the reorder between them if they differ, or if it is scaled.
struct Operand {
    int arg;
    bool output;
    dnnl_memory_t outer = nullptr, inner = nullptr, scale = nullptr;
    dnnl_primitive_t reorder = nullptr;
    size_t bytes = 0;

    Operand(int arg, bool output, dnnl_memory_desc_t outside, const_dnnl_memory_desc_t inside, bool scaled = false)
        : arg(arg), output(output) {
        check(dnnl_memory_create(&outer, outside, engine(), nullptr), "memory");
        inner = outer;
        if (dnnl_memory_desc_equal(outside, inside) && !scaled) return;
        check(dnnl_memory_create(&inner, inside, engine(), nullptr), "memory");
        bytes = (dnnl_memory_desc_get_size(inside) + 63) / 64 * 64;
        dnnl_primitive_attr_t attr;
        check(dnnl_primitive_attr_create(&attr), "attributes");
        if (scaled) {
            check(dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_SRC, 0), "scale");
            check(dnnl_memory_create(&scale, plain({1}), engine(), nullptr), "memory");
        }
        dnnl_primitive_desc_t desc;
        check(dnnl_reorder_primitive_desc_create(&desc, output ? inside : outside, engine(), output ? outside : inside, engine(),
                                                 attr), "reorder");
        check(dnnl_primitive_create(&reorder, desc), "reorder");
        dnnl_primitive_desc_destroy(desc);
        dnnl_primitive_attr_destroy(attr);
    }

    void release() {
        if (reorder) {
            dnnl_primitive_destroy(reorder);
            dnnl_memory_destroy(inner);
        }
        if (scale) dnnl_memory_destroy(scale);
        dnnl_memory_destroy(outer);
    }

    void convert(float *factor) const {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, output ? inner : outer}, {DNNL_ARG_DST, output ? outer : inner},
                                  {DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, scale}};
        if (scale) check(dnnl_memory_set_data_handle(scale, factor), "memory");
        check(dnnl_primitive_execute(reorder, stream(), scale ? 3 : 2, args), "reorder");
    }
};

// One pass of one convolution, ready to run.
struct Plan {
    dnnl_primitive_t primitive;
    std::vector<Operand> operands;
    dnnl_memory_t scratch = nullptr;
    size_t scratch_bytes = 0;

    Plan(const Shape &s, Pass pass, bool bias, bool bf16, bool scaled, const Strip &strip) {
        const std::vector<int64_t> x = {s.n, s.c, strip.x_rows, s.w}, w = {s.out, s.c, s.kh, s.kw},
                                   y = {s.n, s.out, strip.y_rows, s.ow()}, b = {s.out};
        const int type = bf16 ? dnnl_bf16 : dnnl_f32;
        const dnnl_dims_t strides = {s.stride, s.stride}, dilates = {s.dilation - 1, s.dilation - 1},
                          before = {strip.above, s.pad_w}, after = {strip.below, s.pad_w};
        dnnl_primitive_attr_t attr;
        check(dnnl_primitive_attr_create(&attr), "attributes");
        check(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), "attributes");
        dnnl_memory_desc_t no_bias = nullptr, with_bias = bias ? plain(b) : nullptr;
        dnnl_primitive_desc_t forward, desc;
        check(dnnl_convolution_forward_primitive_desc_create(&forward, engine(), dnnl_forward_training, dnnl_convolution_direct,
              any(x, type), any(w, type), pass == FORWARD ? with_bias : no_bias, any(y, type), strides, dilates, before, after, attr),
              "forward convolution");
        desc = forward;
        auto inside = [&](int what) { return dnnl_primitive_desc_query_md(desc, what, 0); };
        if (pass == FORWARD) {
            operands = {{DNNL_ARG_SRC, false, plain(x, s.h), inside(dnnl_query_src_md)},
                        {DNNL_ARG_WEIGHTS, false, plain(w), inside(dnnl_query_weights_md), scaled},
                        {DNNL_ARG_DST, true, plain(y, s.oh()), inside(dnnl_query_dst_md)}};
            if (bias) operands.emplace_back(DNNL_ARG_BIAS, false, with_bias, with_bias);
        } else if (pass == BACKWARD_DATA) {
            check(dnnl_convolution_backward_data_primitive_desc_create(&desc, engine(), dnnl_convolution_direct, any(x, type),
                  any(w, type), any(y, type), strides, dilates, before, after, forward, attr), "convolution backward to data");
            operands = {{DNNL_ARG_DIFF_DST, false, plain(y, s.oh()), inside(dnnl_query_diff_dst_md)},
                        {DNNL_ARG_WEIGHTS, false, plain(w), inside(dnnl_query_weights_md), scaled},
                        {DNNL_ARG_DIFF_SRC, true, plain(x, s.h), inside(dnnl_query_diff_src_md)}};
        } else {
            // The weights' gradient is summed in float32 also from bfloat16 operands.
            check(dnnl_convolution_backward_weights_primitive_desc_create(&desc, engine(), dnnl_convolution_direct, any(x, type),
                  any(w, dnnl_f32), with_bias, any(y, type), strides, dilates, before, after, forward, attr),
                  "convolution backward to weights");
            operands = {{DNNL_ARG_DIFF_DST, false, plain(y, s.oh()), inside(dnnl_query_diff_dst_md)},
                        {DNNL_ARG_SRC, false, plain(x, s.h), inside(dnnl_query_src_md)},
                        {DNNL_ARG_DIFF_WEIGHTS, true, plain(w), inside(dnnl_query_diff_weights_md)}};
            if (bias) operands.emplace_back(DNNL_ARG_DIFF_BIAS, true, with_bias, with_bias);
        }
        check(dnnl_primitive_create(&primitive, desc), "convolution");
        const_dnnl_memory_desc_t scratch_desc = inside(dnnl_query_scratchpad_md);
        scratch_bytes = (dnnl_memory_desc_get_size(scratch_desc) + 63) / 64 * 64;
        check(dnnl_memory_create(&scratch, scratch_desc, engine(), nullptr), "memory");
        if (desc != forward) dnnl_primitive_desc_destroy(forward);
        dnnl_primitive_desc_destroy(desc);
    }

    void release() {
        for (Operand &operand : operands) operand.release();
        dnnl_memory_destroy(scratch);
        dnnl_primitive_destroy(primitive);
    }

    // Bytes of the weights as oneDNN lays them out, 0 where it takes them as they are.
    size_t weight_bytes() const {
        for (const Operand &operand : operands)
            if (operand.arg == DNNL_ARG_WEIGHTS) return operand.bytes;
        return 0;
    }

    // kept: null, or memory of weight_bytes() for the weights, which hold them already if they are `laid_out`.
    void run(const std::vector<void *> &tensors, float scale, void *kept, bool laid_out) const {
        size_t total = scratch_bytes;
        for (const Operand &operand : operands) total += operand.bytes;
        char *free = ::scratch.reserve(total);
        std::vector<dnnl_exec_arg_t> args;
        for (size_t i = 0; i < operands.size(); ++i) {
            const Operand &operand = operands[i];
            check(dnnl_memory_set_data_handle(operand.outer, tensors[i]), "memory");
            if (operand.reorder) {
                const bool own = kept && operand.arg == DNNL_ARG_WEIGHTS;
                check(dnnl_memory_set_data_handle(operand.inner, own ? kept : free), "memory");
                if (!own) free += operand.bytes;
                if (!operand.output && !(own && laid_out)) operand.convert(&scale);
            }
            args.push_back({operand.arg, operand.inner});
        }
        check(dnnl_memory_set_data_handle(scratch, free), "memory");
        args.push_back({DNNL_ARG_SCRATCHPAD, scratch});
        check(dnnl_primitive_execute(primitive, stream(), int(args.size()), args.data()), "convolution");
        for (const Operand &operand : operands)
            if (operand.reorder && operand.output) operand.convert(nullptr);
        check(dnnl_stream_wait(stream()), "convolution");
    }
};

const Plan &plan_of(const Shape &s, Pass pass, bool bias, bool bf16, bool scaled, const Strip &strip) {
    static std::map<std::array<int64_t, 19>, Plan> plans;
    const std::array<int64_t, 19> key = {pass, bf16, bias, scaled, s.n, s.c, s.h, s.w, s.out, s.kh, s.kw, s.stride, s.pad_h, s.pad_w,
                                         s.dilation, strip.x_rows, strip.y_rows, strip.above, strip.below};
    auto found = plans.find(key);
    if (found == plans.end()) {
        if (plans.size() >= MOST_PLANS) {
            for (auto &entry : plans) entry.second.release();
            plans.clear();
        }
        found = plans.emplace(key, Plan(s, pass, bias, bf16, scaled, strip)).first;
    }
    return found->second;
}

}  // namespace

// Free the scratch memory, until the next convolution.
extern "C" void spade_release_scratch() {
    std::lock_guard<std::mutex> lock(scratch.mutex);
    scratch.release();
}

// Bytes of memory for the weights of a forward convolution as oneDNN lays them out, for spade_convolution's `kept`; 0 where there
// is nothing to keep: it takes them as they are, another kernel does it, or it is done in strips, each of which may want another layout.
extern "C" int64_t spade_kept_bytes(int bf16, int64_t n, int64_t c, int64_t h, int64_t w, int64_t out, int64_t kh, int64_t kw,
                                    int64_t stride, int64_t pad_h, int64_t pad_w, int64_t dilation, int biased, float scale) {
    std::lock_guard<std::mutex> lock(scratch.mutex);
    try {
        const Shape shape = {n, c, h, w, out, kh, kw, stride, pad_h, pad_w, dilation};
        const Threads threads(shape.nanoseconds());
        const std::vector<Strip> all = strips(shape, FORWARD);
        const bool others = !bf16 && (shape.is_winograd() || shape.is_small() || (shape.is_pointwise() && !biased));
        return all.size() > 1 || others ? 0 : plan_of(shape, FORWARD, biased, bf16, scale != 1, all[0]).weight_bytes();
    } catch (const std::exception &) {
        return 0;  // the convolution itself says what is wrong
    }
}

// pass 0: a = x, b = weights, result = y. 1: a = dy, b = weights, result = dx. 2: a = dy, b = x, result = dweights, and bias is
// written. bias may be null. The weights are taken times `scale`. kept: null, or memory of spade_kept_bytes for a forward pass's
// weights, read if they are `laid_out` there already, else written. Returns 0, 1 if oneDNN has no such convolution here, or 2 if
// there is no memory.
extern "C" int spade_convolution(int64_t pass, int bf16, int64_t n, int64_t c, int64_t h, int64_t w, int64_t out, int64_t kh,
                                 int64_t kw, int64_t stride, int64_t pad_h, int64_t pad_w, int64_t dilation, void *a, void *b,
                                 void *result, void *bias, float scale, void *kept, int laid_out) {
    std::lock_guard<std::mutex> lock(scratch.mutex);
    const SignalsWait signals;
    try {
        const Shape shape = {n, c, h, w, out, kh, kw, stride, pad_h, pad_w, dilation};
        const Threads threads(shape.nanoseconds());
        float *first = (float *)a, *second = (float *)b, *to = (float *)result;
#ifdef __AVX512F__
        if (!bf16 && shape.is_winograd()) {
            const winograd::Sizes sizes = {n, c, h, w, out, pad_h};
            if (pass == FORWARD) winograd::forward(sizes, first, second, (float *)bias, scale, to);
            if (pass == BACKWARD_DATA) winograd::backward_data(sizes, first, second, scale, to);
            if (pass == BACKWARD_WEIGHTS) winograd::backward_weights(sizes, second, first, to, (float *)bias);
            return 0;
        }
#endif
        if (!bf16 && shape.is_small()) {
            const small::Sizes sizes = {n, c, h, w, out, kh, stride, pad_h, shape.oh(), shape.ow()};
            float *memory = scratch.floats(sizes.scratch());
            if (pass == FORWARD) small::forward(sizes, first, second, (float *)bias, scale, to, memory);
            if (pass == BACKWARD_DATA) small::backward_data(sizes, first, second, scale, to, memory);
            if (pass == BACKWARD_WEIGHTS) small::backward_weights(sizes, second, first, to, (float *)bias, memory);
            return 0;
        }
        if (!bf16 && shape.is_pointwise() && !bias) {  // a matrix product of tensors as they lie
            const int64_t p = h * w;
            for (int64_t i = 0; i < n; ++i) {
                if (pass == FORWARD) dnnl_sgemm('N', 'N', out, p, c, scale, second, c, first + i * c * p, p, 0, to + i * out * p, p);
                if (pass == BACKWARD_DATA) dnnl_sgemm('T', 'N', c, p, out, scale, second, c, first + i * out * p, p, 0, to + i * c * p, p);
                if (pass == BACKWARD_WEIGHTS) dnnl_sgemm('N', 'T', out, c, p, 1, first + i * out * p, p, second + i * c * p, p, i > 0, to, c);
            }
            return 0;
        }
        for (const Strip &strip : strips(shape, Pass(pass))) {
            const Plan &plan = plan_of(shape, Pass(pass), bias, bf16, scale != 1, strip);
            float *x = (float *)(pass == FORWARD ? a : pass == BACKWARD_DATA ? result : b) + strip.x * w,
                  *y = (float *)(pass == FORWARD ? result : a) + strip.y * shape.ow();
            std::vector<void *> tensors = {pass == FORWARD ? x : y, pass == BACKWARD_WEIGHTS ? x : b,
                                           pass == FORWARD ? y : pass == BACKWARD_DATA ? x : result};
            if (bias) tensors.push_back(bias);
            plan.run(tensors, scale, kept, laid_out);
        }
        return 0;
    } catch (const std::bad_alloc &) {
        return 2;
    } catch (const std::exception &) {
        return 1;
    }
}
