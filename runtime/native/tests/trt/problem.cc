// Arrays and their bytes.
#include "tests/trt/problem.h"

#include <string.h>

#include "tests/trt/half.h"

namespace sanp {
namespace test {

size_t Array::elements() const {
  size_t n = 1;
  for (int64_t d : dims) n *= static_cast<size_t>(d);
  return n;
}

std::vector<char> Array::bytes() const {
  std::vector<char> data(values.size() * (half ? 2 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    const float f = static_cast<float>(values[i]);
    const uint16_t h = half_of_float(f);
    if (half)
      memcpy(&data[2 * i], &h, 2);
    else
      memcpy(&data[4 * i], &f, 4);
  }
  return data;
}

Desc Array::desc() const {
  Desc d{};
  d.dims.nbDims = static_cast<int32_t>(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) d.dims.d[i] = static_cast<DimInteger>(dims[i]);
  d.type = half ? nvinfer1::DataType::kHALF : nvinfer1::DataType::kFLOAT;
  d.format = nvinfer1::TensorFormat::kLINEAR;
  return d;
}

std::vector<Desc> Problem::descs(const std::vector<Array>& arrays) const {
  std::vector<Desc> all;
  for (const Array& a : arrays) all.push_back(a.desc());
  return all;
}

}  // namespace test
}  // namespace sanp
