// The C interface of the kernels on the host, for tests of what is above it: plain loops, and suspicious of its caller.
//
// Pointers are host memory and the stream is ignored. A plan remembers the shape it was made for, and the scratch
// memory is written to its last byte, so that a wrong plan or a scratch that is too small shows.
// SANP_HOST_KERNELS_DEVICE=none in the environment plays a machine without a GPU.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "cuda/sanp_cuda.h"
#include "tests/trt/half.h"

using sanp::test::float_of_half;
using sanp::test::half_of_float;

namespace {

constexpr int kNoDevice = 100;  // cudaErrorNoDevice

float load(int32_t type, const void* data, size_t i) {
  return type == SANP_CUDA_FLOAT16 ? float_of_half(static_cast<const uint16_t*>(data)[i])
                                   : static_cast<const float*>(data)[i];
}

void store(int32_t type, void* data, size_t i, float value) {
  if (type == SANP_CUDA_FLOAT16)
    static_cast<uint16_t*>(data)[i] = half_of_float(value);
  else
    static_cast<float*>(data)[i] = value;
}

// FNV-1a over the bytes of a description.
int32_t fingerprint(const void* data, size_t bytes) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 16777619u;
  return static_cast<int32_t>(hash);
}

size_t rounded(size_t bytes) { return (bytes + 255) / 256 * 256; }

bool rows_valid(int32_t rows, int32_t batch) { return rows == 1 || rows == batch; }

bool valid(const SanpCudaConv& c) {
  const int32_t positive[] = {c.batch,    c.c_in,     c.height,   c.width,    c.c_out, c.out_height, c.out_width,
                              c.kernel_h, c.kernel_w, c.stride_h, c.stride_w, c.group, c.dilation_h, c.dilation_w};
  for (int32_t v : positive)
    if (v < 1) return false;
  return c.pad_top >= 0 && c.pad_left >= 0 && c.c_in % c.group == 0 && c.c_out % c.group == 0 && c.type >= 0 &&
         c.type <= 1 && c.weight_order >= 0 && c.weight_order <= 1 && rows_valid(c.scale_rows, c.batch) &&
         rows_valid(c.shift_rows, c.batch) && rows_valid(c.active_rows, c.batch) && c.kernel_h <= 64;
}

bool usable(const void* workspace, size_t bytes) {
  return workspace != nullptr && reinterpret_cast<uintptr_t>(workspace) % 256 == 0 && bytes > 0;
}

float clamp(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

// One output value of an open channel.
double convolve(const SanpCudaConv& c, const SanpCudaConvTensors& t, const int32_t* open, int n, int o, int y, int x) {
  const int in = c.c_in / c.group, first = o / (c.c_out / c.group) * in;
  double sum = 0;
  for (int i = 0; i < in; ++i) {
    if (!open[n * c.c_in + first + i]) continue;
    for (int p = 0; p < c.kernel_h; ++p)
      for (int q = 0; q < c.kernel_w; ++q) {
        const int64_t row = int64_t{y} * c.stride_h - c.pad_top + int64_t{p} * c.dilation_h;
        const int64_t col = int64_t{x} * c.stride_w - c.pad_left + int64_t{q} * c.dilation_w;
        if (row < 0 || row >= c.height || col < 0 || col >= c.width) continue;
        const size_t weight = c.weight_order == SANP_CUDA_HWIO
                                  ? ((size_t(p) * c.kernel_w + q) * in + i) * c.c_out + o
                                  : ((size_t(o) * in + i) * c.kernel_h + p) * c.kernel_w + q;
        const size_t pixel = ((size_t(n) * c.c_in + first + i) * c.height + size_t(row)) * c.width + size_t(col);
        sum += double{load(c.type, t.x, pixel)} * load(c.type, t.w, weight);
      }
  }
  return sum;
}

void gate_sample(const SanpCudaGate& g, const SanpCudaGateTensors& t, int n, float* mean) {
  const size_t pixels = size_t(g.height) * g.width;
  for (int i = 0; i < g.c_in; ++i) {
    double sum = 0;
    for (size_t p = 0; p < pixels; ++p) sum += load(g.type, t.x, (size_t(n) * g.c_in + i) * pixels + p);
    mean[i] = static_cast<float>(sum / static_cast<double>(pixels));
  }
  std::vector<double> hidden(mean, mean + g.c_in);
  if (g.hidden > 0) hidden.resize(g.hidden);
  for (int h = 0; h < g.hidden; ++h) {
    double sum = t.b1[h];
    for (int i = 0; i < g.c_in; ++i) sum += double{t.w1[size_t(h) * g.c_in + i]} * mean[i];
    hidden[h] = std::max(sum, 0.0);
  }
  std::vector<float> saliency(g.c_out);
  for (int o = 0; o < g.c_out; ++o) {
    double sum = t.b2[o];
    for (size_t h = 0; h < hidden.size(); ++h) sum += double{t.w2[o * hidden.size() + h]} * hidden[h];
    saliency[o] = static_cast<float>(std::max(sum, 0.0));
  }
  float level = g.threshold;
  if (g.k > 0 && g.k < g.c_out) {
    std::vector<float> sorted = saliency;
    std::sort(sorted.begin(), sorted.end(), [](float a, float b) { return a > b; });
    level = std::max(level, sorted[g.k]);
  }
  for (int o = 0; o < g.c_out; ++o) {
    const size_t at = size_t(n) * g.c_out + o;
    const float mask = t.mask[g.mask_rows == 1 ? o : at];
    t.scale[at] = saliency[o] > level ? saliency[o] * mask : 0.0f;
    t.shift[at] = t.scale[at] * t.bias[o];
    if (g.has_offset && t.scale[at] != 0.0f) t.shift[at] += t.bias[g.c_out + o];
  }
}

}  // namespace

extern "C" {

int32_t sanp_cuda_abi_version(void) { return SANP_CUDA_ABI_VERSION; }

const char* sanp_cuda_message(int status) {
  switch (status) {
    case SANP_CUDA_OK:
      return "ok";
    case SANP_CUDA_BAD_ARGUMENT:
      return "bad argument";
    case SANP_CUDA_BAD_PLAN:
      return "bad plan";
  }
  return "CUDA error";
}

int sanp_cuda_device(SanpCudaDevice* device) {
  const char* const wanted = getenv("SANP_HOST_KERNELS_DEVICE");
  if (wanted != nullptr && strcmp(wanted, "none") == 0) return kNoDevice;
  *device = {8, 7, 8, 164 * 1024};
  return SANP_CUDA_OK;
}

int sanp_cuda_conv_plan(const SanpCudaConv* conv, const SanpCudaDevice* device, SanpCudaPlan* plan) {
  if (!valid(*conv) || device->sm_count < 1) return SANP_CUDA_BAD_ARGUMENT;
  memset(plan, 0, sizeof *plan);
  plan->version = SANP_CUDA_ABI_VERSION;
  plan->algorithm = 1;
  plan->reserved[0] = fingerprint(conv, sizeof *conv);
  return SANP_CUDA_OK;
}

const char* sanp_cuda_algorithm_name(int32_t) { return "host"; }

size_t sanp_cuda_conv_workspace(const SanpCudaConv* c, const SanpCudaPlan*) {
  return rounded(size_t(c->batch) * c->c_in * sizeof(int32_t));
}

size_t sanp_cuda_gate_workspace(const SanpCudaGate* g) { return rounded(size_t(g->batch) * g->c_in * sizeof(float)); }

int sanp_cuda_conv(const SanpCudaConv* conv, const SanpCudaPlan* plan, const SanpCudaConvTensors* tensors,
                   void* workspace, void*) {
  const SanpCudaConv& c = *conv;
  const SanpCudaConvTensors& t = *tensors;
  const size_t bytes = sanp_cuda_conv_workspace(conv, plan);
  if (!valid(c) || !usable(workspace, bytes)) return SANP_CUDA_BAD_ARGUMENT;
  if (plan->version != SANP_CUDA_ABI_VERSION || plan->reserved[0] != fingerprint(conv, sizeof *conv))
    return SANP_CUDA_BAD_PLAN;
  memset(workspace, 0xff, bytes);
  int32_t* const open = static_cast<int32_t*>(workspace);
  for (int n = 0; n < c.batch; ++n)
    for (int i = 0; i < c.c_in; ++i)
      open[n * c.c_in + i] = t.in_active[(c.active_rows == 1 ? 0 : n * c.c_in) + i] != 0.0f;
  size_t at = 0;
  for (int n = 0; n < c.batch; ++n)
    for (int o = 0; o < c.c_out; ++o) {
      const float scale = t.scale[(c.scale_rows == 1 ? 0 : n * c.c_out) + o];
      const float shift = t.shift[(c.shift_rows == 1 ? 0 : n * c.c_out) + o];
      for (int y = 0; y < c.out_height; ++y)
        for (int x = 0; x < c.out_width; ++x, ++at) {
          const double sum = scale != 0.0f ? convolve(c, t, open, n, o, y, x) * scale : 0.0;
          const float all = static_cast<float>(sum) + shift + load(c.type, t.residual, c.residual_dense ? at : 0);
          store(c.type, t.y, at, clamp(all, c.act_min, c.act_max));
        }
    }
  return SANP_CUDA_OK;
}

int sanp_cuda_gate(const SanpCudaGate* gate, const SanpCudaGateTensors* tensors, void* workspace, void*) {
  const size_t bytes = sanp_cuda_gate_workspace(gate);
  if (gate->batch < 1 || gate->k < 0 || gate->k >= gate->c_out || !rows_valid(gate->mask_rows, gate->batch) ||
      !usable(workspace, bytes))
    return SANP_CUDA_BAD_ARGUMENT;
  memset(workspace, 0xff, bytes);
  for (int n = 0; n < gate->batch; ++n)
    gate_sample(*gate, *tensors, n, static_cast<float*>(workspace) + size_t(n) * gate->c_in);
  return SANP_CUDA_OK;
}

}  // extern "C"
