/* The CUDA kernels of SANP behind a plain C interface.
 *
 * No TensorRT, ONNX Runtime or CUDA header is needed here: a stream is the `cudaStream_t` of the caller as a `void *`.
 * The operators are those of docs/operators.md. Everything is a plain struct, so that adapters, tests and ctypes share
 * one description. A launch allocates nothing, synchronises nothing, reads nothing back from the device, and depends on
 * gates and masks only through device memory: it can be captured in a CUDA graph.
 */
#ifndef SANP_CUDA_H_
#define SANP_CUDA_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SANP_CUDA_API __attribute__((visibility("default")))
#else
#define SANP_CUDA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct or the meaning of a field changes; serialised plugins carry it. */
#define SANP_CUDA_ABI_VERSION 2

enum SanpCudaType { SANP_CUDA_FLOAT32 = 0, SANP_CUDA_FLOAT16 = 1 };

/* OIHW is ONNX's order. HWIO, [kh, kw, c_in / group, c_out], is what the kernels want: a skipped input channel saves a
 * whole contiguous row. The TensorRT exporter permutes once; ONNX Runtime hands over OIHW. */
enum SanpCudaWeightOrder { SANP_CUDA_OIHW = 0, SANP_CUDA_HWIO = 1 };

/* Results of every function: 0, a positive cudaError_t, or one of these. */
enum SanpCudaStatus {
  SANP_CUDA_OK = 0,
  SANP_CUDA_BAD_ARGUMENT = -1, /* a shape or attribute that contradicts itself or exceeds a limit */
  SANP_CUDA_BAD_PLAN = -2,     /* a plan that was not made for this shape by this version */
};

/* One gated convolution. Tensors are dense and in NCHW order. */
typedef struct SanpCudaConv {
  int32_t type;         /* SanpCudaType of x, w, residual and y; scale, shift and in_active are always float32 */
  int32_t weight_order; /* SanpCudaWeightOrder */
  int32_t batch, c_in, height, width;
  int32_t c_out, out_height, out_width;
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, group;
  int32_t scale_rows, shift_rows, active_rows; /* 1 (broadcast over the batch) or batch */
  int32_t residual_dense;                      /* 1: residual has the shape of y; 0: one element, added everywhere */
  float act_min, act_max;                      /* clamp of the result; -inf and inf for none */
} SanpCudaConv;

/* Device pointers, `x` at a multiple of 16 bytes. None may overlap `y`, which is written completely, masked channels
 * included. */
typedef struct SanpCudaConvTensors {
  const void *x, *w;
  const float *scale, *shift, *in_active;
  const void* residual;
  void* y;
} SanpCudaConvTensors;

/* One channel gate: scale and shift [batch, c_out] from x. Weights and results are float32 for every type of x. */
typedef struct SanpCudaGate {
  int32_t type; /* SanpCudaType of x */
  int32_t batch, c_in, height, width;
  int32_t hidden; /* 0: no hidden layer, w2 [c_out, c_in] reads the means; w1 and b1 are not read */
  int32_t c_out;
  int32_t mask_rows; /* 1 or batch */
  int32_t k;         /* at most k channels stay open; 0: no limit */
  float threshold;
  int32_t has_offset; /* bias has a second row, added to the shift of open channels */
} SanpCudaGate;

typedef struct SanpCudaGateTensors {
  const void* x;
  const float *w1, *b1, *w2, *b2, *bias, *mask;
  float *scale, *shift;
} SanpCudaGateTensors;

/* What a plan depends on besides the shape. */
typedef struct SanpCudaDevice {
  int32_t sm_major, sm_minor, sm_count;
  int32_t shared_bytes; /* shared memory that a block may opt in to */
} SanpCudaDevice;

/* How a shape is computed: made once, kept by the adapter, plain data. Zero fields mean "not used by this algorithm".
 */
typedef struct SanpCudaPlan {
  int32_t version;   /* SANP_CUDA_ABI_VERSION */
  int32_t algorithm; /* which kernel; names by sanp_cuda_algorithm_name */
  int32_t tile_m, tile_n, tile_k, split_k;
  int32_t threads, shared_bytes;
  int32_t grid[3];
  int32_t reserved[5];
} SanpCudaPlan;

SANP_CUDA_API int32_t sanp_cuda_abi_version(void);

/* Text of a status, never NULL, static storage. */
SANP_CUDA_API const char* sanp_cuda_message(int status);

/* The current CUDA device; a positive status where there is none. */
SANP_CUDA_API int sanp_cuda_device(SanpCudaDevice* device);

/* Checks the description and chooses kernel and tiles. Pure host arithmetic: works without a GPU. */
SANP_CUDA_API int sanp_cuda_conv_plan(const SanpCudaConv* conv, const SanpCudaDevice* device, SanpCudaPlan* plan);

/* Every way to compute the shape, best guess first: for tuning on the device, and for tests. Writes up to `capacity`
 * plans and returns how many there are, or SANP_CUDA_BAD_ARGUMENT. Any of them may be launched. */
SANP_CUDA_API int sanp_cuda_conv_candidates(const SanpCudaConv* conv, const SanpCudaDevice* device, SanpCudaPlan* plans,
                                            int capacity);
SANP_CUDA_API const char* sanp_cuda_algorithm_name(int32_t algorithm);

/* Bytes of scratch memory that a launch needs, 256-byte aligned; does not grow when batch shrinks. */
SANP_CUDA_API size_t sanp_cuda_conv_workspace(const SanpCudaConv* conv, const SanpCudaPlan* plan);
SANP_CUDA_API size_t sanp_cuda_gate_workspace(const SanpCudaGate* gate);

/* Enqueue on `stream`. Any float is allowed in scale, shift and in_active, NaN included (NaN counts as open), because
 * builders time plugins on arbitrary memory. */
SANP_CUDA_API int sanp_cuda_conv(const SanpCudaConv* conv, const SanpCudaPlan* plan, const SanpCudaConvTensors* tensors,
                                 void* workspace, void* stream);
SANP_CUDA_API int sanp_cuda_gate(const SanpCudaGate* gate, const SanpCudaGateTensors* tensors, void* workspace,
                                 void* stream);

#ifdef __cplusplus
}
#endif

#endif /* SANP_CUDA_H_ */
