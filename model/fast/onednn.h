// The part of oneDNN's C interface (version 3, Apache-2.0) that the kernels use. Paddle's wheels ship the library without
// its headers; names, argument orders and values below are that interface's and do not change within version 3.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {
typedef int64_t dnnl_dims_t[12];
typedef struct dnnl_engine *dnnl_engine_t;
typedef struct dnnl_stream *dnnl_stream_t;
typedef struct dnnl_memory *dnnl_memory_t;
typedef struct dnnl_memory_desc *dnnl_memory_desc_t;
typedef const struct dnnl_memory_desc *const_dnnl_memory_desc_t;
typedef struct dnnl_primitive *dnnl_primitive_t;
typedef struct dnnl_primitive_desc *dnnl_primitive_desc_t;
typedef const struct dnnl_primitive_desc *const_dnnl_primitive_desc_t;
typedef struct dnnl_primitive_attr *dnnl_primitive_attr_t;
typedef const struct dnnl_primitive_attr *const_dnnl_primitive_attr_t;
typedef struct { int arg; dnnl_memory_t memory; } dnnl_exec_arg_t;
typedef struct { int major, minor, patch; } dnnl_version_head;

enum { dnnl_cpu = 1, dnnl_stream_default_flags = 1, dnnl_format_tag_any = 1, dnnl_scratchpad_mode_user = 1 };
enum { dnnl_bf16 = 2, dnnl_f32 = 3 };
enum { dnnl_forward_training = 64, dnnl_convolution_direct = 1 };
enum { dnnl_query_src_md = 129, dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_weights_md,
       dnnl_query_dst_md, dnnl_query_diff_dst_md, dnnl_query_scratchpad_md = 136 };
enum { DNNL_ARG_ATTR_SCALES = 4096 };
enum { DNNL_ARG_SRC = 1, DNNL_ARG_DST = 17, DNNL_ARG_WEIGHTS = 33, DNNL_ARG_BIAS = 41, DNNL_ARG_SCRATCHPAD = 80,
       DNNL_ARG_DIFF_SRC = 129, DNNL_ARG_DIFF_DST = 145, DNNL_ARG_DIFF_WEIGHTS = 161, DNNL_ARG_DIFF_BIAS = 169 };

const dnnl_version_head *dnnl_version(void);
int dnnl_engine_create(dnnl_engine_t *, int kind, size_t index);
int dnnl_stream_create(dnnl_stream_t *, dnnl_engine_t, unsigned flags);
int dnnl_stream_wait(dnnl_stream_t);
int dnnl_memory_desc_create_with_strides(dnnl_memory_desc_t *, int ndims, const dnnl_dims_t, int type, const dnnl_dims_t strides);
int dnnl_memory_desc_create_with_tag(dnnl_memory_desc_t *, int ndims, const dnnl_dims_t, int type, int tag);
int dnnl_memory_desc_equal(const_dnnl_memory_desc_t, const_dnnl_memory_desc_t);
size_t dnnl_memory_desc_get_size(const_dnnl_memory_desc_t);
int dnnl_memory_create(dnnl_memory_t *, const_dnnl_memory_desc_t, dnnl_engine_t, void *handle);
int dnnl_memory_set_data_handle(dnnl_memory_t, void *handle);
int dnnl_memory_destroy(dnnl_memory_t);
int dnnl_primitive_attr_create(dnnl_primitive_attr_t *);
int dnnl_primitive_attr_set_scratchpad_mode(dnnl_primitive_attr_t, int mode);
int dnnl_primitive_attr_set_scales_mask(dnnl_primitive_attr_t, int arg, int mask);
int dnnl_primitive_attr_destroy(dnnl_primitive_attr_t);
const_dnnl_memory_desc_t dnnl_primitive_desc_query_md(const_dnnl_primitive_desc_t, int what, int index);
int dnnl_primitive_create(dnnl_primitive_t *, const_dnnl_primitive_desc_t);
int dnnl_primitive_destroy(dnnl_primitive_t);
int dnnl_primitive_desc_destroy(dnnl_primitive_desc_t);
int dnnl_primitive_execute(dnnl_primitive_t, dnnl_stream_t, int count, const dnnl_exec_arg_t *);
int dnnl_reorder_primitive_desc_create(dnnl_primitive_desc_t *, const_dnnl_memory_desc_t from, dnnl_engine_t,
                                       const_dnnl_memory_desc_t to, dnnl_engine_t, const_dnnl_primitive_attr_t);
int dnnl_convolution_forward_primitive_desc_create(
    dnnl_primitive_desc_t *, dnnl_engine_t, int propagation, int algorithm, const_dnnl_memory_desc_t src,
    const_dnnl_memory_desc_t weights, const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t dst, const dnnl_dims_t strides,
    const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t after, const_dnnl_primitive_attr_t);
int dnnl_convolution_backward_data_primitive_desc_create(
    dnnl_primitive_desc_t *, dnnl_engine_t, int algorithm, const_dnnl_memory_desc_t diff_src, const_dnnl_memory_desc_t weights,
    const_dnnl_memory_desc_t diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t before,
    const dnnl_dims_t after, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t);
int dnnl_convolution_backward_weights_primitive_desc_create(
    dnnl_primitive_desc_t *, dnnl_engine_t, int algorithm, const_dnnl_memory_desc_t src, const_dnnl_memory_desc_t diff_weights,
    const_dnnl_memory_desc_t diff_bias, const_dnnl_memory_desc_t diff_dst, const dnnl_dims_t strides, const dnnl_dims_t dilates,
    const dnnl_dims_t before, const dnnl_dims_t after, const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t);
int dnnl_sgemm(char transa, char transb, int64_t M, int64_t N, int64_t K, float alpha, const float *A, int64_t lda,
               const float *B, int64_t ldb, float beta, float *C, int64_t ldc);
}
