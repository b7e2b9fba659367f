// The TensorRT of this process: its registry and its log, found at run time because nothing here links to it.
#pragma once

#include <NvInferRuntime.h>

#include "contract/error.h"

namespace sanp {
namespace trt {

// The registry of a TensorRT whose interface this library was compiled for, or null.
nvinfer1::IPluginRegistry* host_registry() noexcept;

// Another way to TensorRT's logger, tried first; only the library with entry points is told one.
using FindLogger = nvinfer1::ILogger* (*)();
void set_find_logger(FindLogger find) noexcept;

// To TensorRT's logger, or to stderr where there is none.
void log_error(const char* op, const Error& error) noexcept;

}  // namespace trt
}  // namespace sanp
