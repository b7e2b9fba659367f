// What the emulated device answers, and instructions of a warp: votes, shuffles, matrix fragments, half conversions.
//
// Written from the PTX ISA's tables of fragments and from IEEE 754, not from the kernels.
#include <string.h>

#include "emulator.h"
#include "sanp_cuda.h"

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

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  return value <= device.shared_bytes ? cudaSuccess : cudaErrorInvalidConfiguration;
}

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
