// Symbolic shapes during session creation: dimensions that are numbers, names, or unknown.
#pragma once

#include <string>
#include <vector>

#include "ort/common/op_base.h"

namespace sanp {

struct InferDim {
  int64_t value;     // -1: not a number
  std::string name;  // may be empty
};

// False when the rank is not known or anything else is missing; inference is best effort.
bool infer_input(const OrtApi* api, const OrtShapeInferContext* context, size_t index, std::vector<InferDim>* dims);
bool infer_ints(const OrtApi* api, const OrtShapeInferContext* context, const char* name, int64_t* out, size_t count);
void infer_output(const OrtApi* api, OrtShapeInferContext* context, size_t index, const std::vector<InferDim>& dims,
                  int type = kOrtFloat);

// The callbacks of the operators; without what they need the shapes stay unknown.
void infer_gated_conv(OrtShapeInferContext* context);
void infer_channel_gate(OrtShapeInferContext* context);
void infer_gated_qlinear_conv(OrtShapeInferContext* context);
void infer_qlinear_channel_gate(OrtShapeInferContext* context);
void infer_inverted_residual(OrtShapeInferContext* context);
void infer_max_pool(OrtShapeInferContext* context);

// The interface table, remembered at registration: the inference callback is not given it.
void set_infer_api(const OrtApi* api);
const OrtApi* infer_api();

}  // namespace sanp
