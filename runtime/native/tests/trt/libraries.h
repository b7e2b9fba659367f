// The libraries under test, named on the command line.
#pragma once

namespace sanp {
namespace test {

struct Libraries {
  const char* plugin = nullptr;    // libsanp_trt.so
  const char* creators = nullptr;  // libsanp_trt_creators.so
};
Libraries& libraries();

}  // namespace test
}  // namespace sanp
