// Attributes from untrusted field lists and blobs; runs without TensorRT.
#include <math.h>
#include <string.h>

#include <random>

#include "cuda/sanp_cuda.h"
#include "tests/trt/cases.h"
#include "trt/attributes.h"
#include "trt/blob.h"

namespace sanp {
namespace test {
namespace {

using namespace sanp::trt;

const int32_t kStrides[] = {2, 1}, kPads[] = {0, 1, 2, 3}, kDilations[] = {1, 2}, kGroup[] = {4}, kOrder[] = {1};
const float kMin[] = {-INFINITY}, kMax[] = {6.0f};

std::vector<Field> conv_fields() {
  return {{"act_max", FieldKind::kFloat32, 1, kMax},     {"strides", FieldKind::kInt32, 2, kStrides},
          {"pads", FieldKind::kInt32, 4, kPads},         {"dilations", FieldKind::kInt32, 2, kDilations},
          {"group", FieldKind::kInt32, 1, kGroup},       {"act_min", FieldKind::kFloat32, 1, kMin},
          {"weight_order", FieldKind::kInt32, 1, kOrder}};
}

Error parse(const std::vector<Field>& fields, ConvAttributes* a) {
  return parse_fields(kConvTable, fields.data(), static_cast<int32_t>(fields.size()), a);
}

CASE(fields_in_any_order) {
  ConvAttributes a;
  const Error e = parse(conv_fields(), &a);
  EXPECT(!e, "%s", e.text());
  EXPECT(!check_attributes(a), "%s", check_attributes(a).text());
  EXPECT(a.strides[0] == 2 && a.strides[1] == 1 && a.pads[3] == 3 && a.dilations[1] == 2, "lists are read in order");
  EXPECT(a.group == 4 && a.weight_order == 1 && a.act_min == -INFINITY && a.act_max == 6.0f, "single values");
}

CASE(fields_that_are_optional) {
  std::vector<Field> fields = conv_fields();
  fields.pop_back();
  ConvAttributes a;
  EXPECT(!parse(fields, &a), "weight_order may be missing");
  EXPECT(a.weight_order == SANP_CUDA_OIHW, "ONNX order is the default");
  const float threshold = 0.25f;
  const Field one{"threshold", FieldKind::kFloat32, 1, &threshold};
  GateAttributes gate;
  EXPECT(!parse_fields(kGateTable, &one, 1, &gate) && gate.k == 0 && gate.threshold == 0.25f, "k may be missing");
}

CASE(fields_that_are_wrong_are_named) {
  const std::vector<Field> good = conv_fields();
  for (size_t i = 0; i < good.size(); ++i) {
    const char* const name = good[i].name;
    const auto expect_error = [&](std::vector<Field> fields, const char* what) {
      ConvAttributes a;
      const Error e = parse(fields, &a);
      EXPECT(e && contains(e.text(), name), "%s of '%s' gave '%s'", what, name, e.text());
    };
    std::vector<Field> fields = good;
    if (i + 1 < good.size()) {
      fields.erase(fields.begin() + static_cast<long>(i));
      expect_error(fields, "absence");
    }
    fields = good;
    fields.push_back(good[i]);
    expect_error(fields, "repetition");
    for (int64_t count : {int64_t{0}, good[i].count + 1, int64_t{-1}, int64_t{1} << 40}) {
      fields = good;
      fields[i].count = count;
      expect_error(fields, "wrong length");
    }
    fields = good;
    fields[i].kind = FieldKind::kOther;
    expect_error(fields, "wrong type");
    fields[i].kind = good[i].kind == FieldKind::kFloat32 ? FieldKind::kInt32 : FieldKind::kFloat32;
    expect_error(fields, "wrong type");
    fields = good;
    fields[i].data = nullptr;
    expect_error(fields, "no data");
    fields = good;
    fields[i].name = "no_such_attribute";
    ConvAttributes a;
    EXPECT(contains(parse(fields, &a).text(), "no_such_attribute"), "an unknown name is an error");
    fields[i].name = nullptr;
    EXPECT(parse(fields, &a), "a missing name is an error");
  }
  ConvAttributes a;
  EXPECT(parse_fields(kConvTable, nullptr, 3, &a) && parse_fields(kConvTable, good.data(), -1, &a), "broken lists");
  std::vector<Field> fields = good;
  const std::string endless(100000, 'x');
  fields[0].name = endless.c_str();
  EXPECT(parse(fields, &a), "an endless name fits no buffer");
}

CASE(fields_of_64_bits) {
  std::vector<Field> fields = conv_fields();
  const int64_t pads[] = {0, 1, 2, INT32_MAX};
  fields[2] = {"pads", FieldKind::kInt64, 4, pads};
  ConvAttributes a;
  EXPECT(!parse(fields, &a) && a.pads[3] == INT32_MAX && a.pads[1] == 1, "narrowed");
  const int64_t wide[] = {0, 0, 0, int64_t{INT32_MAX} + 1};
  fields[2].data = wide;
  EXPECT(contains(parse(fields, &a).text(), "2147483648"), "a value that does not fit is shown");
}

CASE(values_out_of_range) {
  ConvAttributes good;
  EXPECT(!parse(conv_fields(), &good) && !check_attributes(good), "the base is good");
  const auto expect_error = [&](auto change, const char* what) {
    ConvAttributes a = good;
    change(a);
    EXPECT(check_attributes(a), "%s is an error", what);
  };
  expect_error([](auto& a) { a.strides[0] = 0; }, "stride 0");
  expect_error([](auto& a) { a.strides[1] = -1; }, "stride -1");
  expect_error([](auto& a) { a.pads[2] = -1; }, "pad -1");
  expect_error([](auto& a) { a.dilations[1] = 0; }, "dilation 0");
  expect_error([](auto& a) { a.group = 0; }, "group 0");
  expect_error([](auto& a) { a.weight_order = 2; }, "weight order 2");
  expect_error([](auto& a) { a.weight_order = -1; }, "weight order -1");
  expect_error([](auto& a) { a.act_min = NAN; }, "act_min NaN");
  expect_error([](auto& a) { a.act_max = NAN; }, "act_max NaN");
  expect_error([](auto& a) { a.act_min = 7; }, "act_min above act_max");
  EXPECT(check_attributes(GateAttributes{NAN, 0}) && check_attributes(GateAttributes{0, -1}), "gates");
  EXPECT(!check_attributes(GateAttributes{-INFINITY, 3}), "any other threshold is fine");
}

CASE(saved_fields_need_a_version) {
  std::vector<Field> fields = conv_fields();
  const int32_t version = SANP_CUDA_ABI_VERSION, other = SANP_CUDA_ABI_VERSION + 1;
  ConvAttributes a;
  const auto parse_saved = [&] {
    return parse_saved_fields(kConvTable, fields.data(), static_cast<int32_t>(fields.size()), &a);
  };
  EXPECT(parse_saved(), "no version");
  fields.push_back({kVersionField, FieldKind::kInt32, 1, &version});
  EXPECT(!parse_saved() && a.group == 4, "complete");
  EXPECT(parse(fields, &a), "a network has no such attribute");
  fields.back().data = &other;
  EXPECT(contains(parse_saved().text(), "build the engine again"), "another version");
  fields.back().data = &kUnsizedVersion;
  EXPECT(contains(parse_saved().text(), "without a GPU"), "built where no device was");
  fields.back().kind = FieldKind::kFloat32;
  EXPECT(parse_saved(), "a version that is no integer");
  fields.back() = {kVersionField, FieldKind::kInt32, 1, &version};
  fields.push_back(fields.back());
  EXPECT(parse_saved(), "two versions");
  fields.pop_back();
  for (size_t i = 0; i + 1 < fields.size(); ++i) {
    const std::vector<Field> all = fields;
    fields.erase(fields.begin() + static_cast<long>(i));
    EXPECT(contains(parse_saved().text(), all[i].name), "engines carry '%s' too", all[i].name);
    fields = all;
  }
}

CASE(attributes_as_text) {
  ConvAttributes a;
  EXPECT(!parse(conv_fields(), &a), "parsed");
  char all[256];
  describe_attributes(kConvTable, &a, all, sizeof all);
  EXPECT(contains(all, "pads = 0 1 2 3") && contains(all, "act_max = 6"), "%s", all);
  for (size_t bytes = 1; bytes < sizeof all; ++bytes) {
    std::vector<char> cut(bytes, 'x');
    describe_attributes(kConvTable, &a, cut.data(), bytes);
    EXPECT(strncmp(cut.data(), all, bytes - 1) == 0 && memchr(cut.data(), 0, bytes), "cut to %zu bytes", bytes);
  }
}

CASE(blob_round_trip_and_damage) {
  ConvAttributes a, back;
  EXPECT(!parse(conv_fields(), &a), "parsed");
  std::vector<char> bytes(blob_bytes(sizeof a));
  write_blob(1, &a, sizeof a, bytes.data());
  const Error e = read_blob(1, bytes.data(), bytes.size(), &back, sizeof back);
  EXPECT(!e && memcmp(&a, &back, sizeof a) == 0, "%s", e.text());
  for (size_t n = 0; n < bytes.size(); ++n) {
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<long>(n));
    EXPECT(read_blob(1, cut.data(), n, &back, sizeof back), "%zu of %zu bytes are no blob", n, bytes.size());
  }
  for (size_t i = 0; i < sizeof(BlobHeader); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<char> bad = bytes;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      EXPECT(read_blob(1, bad.data(), bad.size(), &back, sizeof back), "bit %d of byte %zu is noticed", bit, i);
    }
  std::vector<char> longer = bytes;
  longer.push_back(0);
  EXPECT(read_blob(1, longer.data(), longer.size(), &back, sizeof back), "one byte too many");
  EXPECT(read_blob(2, bytes.data(), bytes.size(), &back, sizeof back), "a blob of another operator");
  EXPECT(read_blob(1, nullptr, bytes.size(), &back, sizeof back), "no data");
}

}  // namespace
}  // namespace test
}  // namespace sanp
