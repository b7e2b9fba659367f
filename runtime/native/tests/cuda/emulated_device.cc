// What the emulated device answers, and instructions of a warp: votes, shuffles, matrix fragments, half conversions.
//
// Written from the PTX ISA's tables of fragments and from IEEE 754, not from the kernels.
#include <string.h>

#include "cuda/base/warp_matrix.h"
#include "cuda/sanp_cuda.h"
#include "tests/cuda/emulator.h"

using sanp::emulator::fail;
using sanp::emulator::warp_meet;

namespace {

// An AGX Orin unless a test says otherwise.
SanpCudaDevice device = {8, 7, 16, 163 * 1024};

}  // namespace

extern "C" __attribute__((visibility("default"))) void sanp_emulator_device(const SanpCudaDevice* d) { device = *d; }

cudaError_t cudaGetDevice(int* ordinal) {
  *ordinal = 0;
  return device.sm_count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount      ? device.sm_count
           : attribute == cudaDevAttrComputeCapabilityMajor ? device.sm_major
           : attribute == cudaDevAttrComputeCapabilityMinor ? device.sm_minor
                                                            : device.shared_bytes;
  return cudaSuccess;
}

// A launch checks its shared memory itself.
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : error == cudaErrorNoDevice ? "no device" : "invalid configuration";
}

namespace sanp {
namespace cuda {

unsigned ballot(bool flag) {
  unsigned bits = 0;
  warp_meet("ballot", &flag, &bits, [](const void* const in[32], void* const out[32]) {
    unsigned all = 0;
    for (int l = 0; l < 32; ++l) all |= static_cast<unsigned>(*static_cast<const bool*>(in[l])) << l;
    for (int l = 0; l < 32; ++l) *static_cast<unsigned*>(out[l]) = all;
  });
  return bits;
}

float shuffle_down(float value, int distance, int width) {
  struct Request {
    float value;
    int distance, width;
  } request{value, distance, width};
  float result = 0;
  warp_meet("shuffle_down", &request, &result, [](const void* const in[32], void* const out[32]) {
    for (int l = 0; l < 32; ++l) {
      const Request& r = *static_cast<const Request*>(in[l]);
      const int source = l % r.width + r.distance < r.width ? l + r.distance : l;
      *static_cast<float*>(out[l]) = static_cast<const Request*>(in[source])->value;
    }
  });
  return result;
}

namespace {

using Lanes = const void* const[32];
using Results = void* const[32];

const void* row_of(Lanes in, int matrix, int row) { return *static_cast<const void* const*>(in[8 * matrix + row]); }

unsigned short element(Lanes in, int matrix, int row, int column) {
  return static_cast<const unsigned short*>(row_of(in, matrix, row))[column];
}

// ldmatrix, PTX ISA 9.7.14.5.15.
template <bool kTransposed>
void distribute(Lanes in, Results out) {
  for (int l = 0; l < 32; ++l) {
    const void* const row = row_of(in, l / 8, l % 8);
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail("ldmatrix: the row of lane %d is not 16-byte aligned", l);
    if (!emulator::is_shared(row, 16)) fail("ldmatrix: the row of lane %d is not in shared memory", l);
  }
  for (int l = 0; l < 32; ++l)
    for (int m = 0; m < 4; ++m) {
      unsigned pair = 0;
      for (int e = 0; e < 2; ++e) {
        const int major = l / 4, minor = 2 * (l % 4) + e;
        const unsigned bits = kTransposed ? element(in, m, minor, major) : element(in, m, major, minor);
        pair |= bits << 16 * e;
      }
      static_cast<Matrices*>(out[l])->part[m] = pair;
    }
}

struct Operands {
  unsigned a[4], b[2];
  float c[4];
};

float half_of(unsigned pair, int index) {
  return half_to_float(static_cast<unsigned short>(index ? pair >> 16 : pair & 0xffff));
}

// mma.m16n8k16 with .f16 operands: element i of a lane's fragment, by the tables of the PTX ISA.
void product(Lanes in, Results out) {
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; ++l) {
    const Operands& o = *static_cast<const Operands*>(in[l]);
    const int group = l >> 2, in_group = l % 4;
    for (int i = 0; i < 8; ++i) {
      const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
      const int column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      a[row][column] = half_of(o.a[i / 2], i % 2);
    }
    for (int i = 0; i < 4; ++i) b[in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0)][group] = half_of(o.b[i / 2], i % 2);
  }
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? l >> 2 : (l >> 2) + 8, column = l % 4 * 2 + (i & 1);
      double sum = static_cast<const Operands*>(in[l])->c[i];
      for (int k = 0; k < 16; ++k) sum += static_cast<double>(a[row][k]) * b[k][column];
      static_cast<float*>(out[l])[i] = static_cast<float>(sum);
    }
}

}  // namespace

Matrices load_matrices(const void* row) {
  Matrices m{};
  warp_meet("ldmatrix", &row, &m, distribute<false>);
  return m;
}

Matrices load_transposed(const void* row) {
  Matrices m{};
  warp_meet("ldmatrix.trans", &row, &m, distribute<true>);
  return m;
}

void multiply_add(float (&sums)[4], const Matrices& a, unsigned b0, unsigned b1) {
  Operands o{{a.part[0], a.part[1], a.part[2], a.part[3]}, {b0, b1}, {sums[0], sums[1], sums[2], sums[3]}};
  warp_meet("mma", &o, sums, product);
}

float half_to_float(unsigned short bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float size = exponent == 31  ? (fraction ? NAN : INFINITY)
                     : exponent == 0 ? ldexpf(static_cast<float>(fraction), -24)
                                     : ldexpf(static_cast<float>(fraction + 1024), exponent - 25);
  return bits & 0x8000 ? -size : size;
}

// To nearest, ties to even. The spacing of halves at |value| is 2^step; nearbyint rounds the multiple of it.
unsigned short float_to_half(float value) {
  const unsigned short sign = signbit(value) ? 0x8000 : 0;
  const float size = fabsf(value);
  if (isnan(size)) return 0x7fff;
  if (size >= 65520.0f) return sign | 0x7c00;
  int exponent = -13;
  if (size > 0) frexpf(size, &exponent);
  const int step = exponent < -13 ? -24 : exponent - 11;
  const int multiple = static_cast<int>(nearbyintf(ldexpf(size, -step)));
  // A multiple of 2048 carries into the exponent by itself: the encoding is monotonic.
  return static_cast<unsigned short>(sign | (multiple + (step + 24) * 1024));
}

}  // namespace cuda
}  // namespace sanp
