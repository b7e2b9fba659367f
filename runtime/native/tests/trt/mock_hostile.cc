// What networks, engine files and applications can get wrong: refused with a message, never a crash.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/trt/cases.h"
#include "tests/trt/lifecycle.h"

namespace sanp {
namespace test {
namespace {

Problem problem(const std::string& op, uint32_t seed) {
  return op == "SanpGatedConv" ? random_conv(seed, 2, false) : random_gate(seed, 2, false);
}

// The creator's answer to exactly these fields, and its reason.
std::string refusal(const std::string& op, const nvinfer1::PluginFieldCollection* fields) {
  tensorrt().logger.take();
  const std::unique_ptr<Node> node = create_raw(op, fields);
  const std::string reason = tensorrt().logger.take();
  EXPECT(!node || reason.empty(), "accepted, and yet: %s", reason.c_str());
  EXPECT(node || contains(reason, op.c_str()), "'%s' does not name the operator", reason.c_str());
  return reason;
}

NodeFields known(const std::string& op, uint32_t seed) {
  NodeFields all = problem(op, seed).attributes;
  if (op == "SanpGatedConv") all.pop_back();  // the one that no plugin has
  return all;
}

void damage_fields(const std::string& op, uint32_t seed) {
  const NodeFields good = known(op, seed);
  EXPECT(refusal(op, FieldView(good).get()).empty(), "the base is good");
  EXPECT(!refusal(op, nullptr).empty(), "no collection");
  const nvinfer1::PluginFieldCollection negative{-1, nullptr}, no_rows{3, nullptr}, huge{1 << 30, nullptr};
  for (const auto* broken : {&negative, &no_rows, &huge}) EXPECT(!refusal(op, broken).empty(), "a broken collection");
  for (size_t i = 0; i < good.size(); ++i) {
    const char* const name = good[i].name.c_str();
    const bool optional = good[i].name == "k" || good[i].name == "weight_order";
    NodeFields fields = good;
    fields.erase(fields.begin() + static_cast<long>(i));
    EXPECT(refusal(op, FieldView(fields).get()).empty() == optional, "without '%s'", name);
    fields = good;
    fields.push_back(good[i]);
    EXPECT(contains(refusal(op, FieldView(fields).get()), name), "'%s' twice", name);
    for (auto type : {nvinfer1::PluginFieldType::kFLOAT16, nvinfer1::PluginFieldType::kINT8,
                      nvinfer1::PluginFieldType::kCHAR, nvinfer1::PluginFieldType::kDIMS,
                      nvinfer1::PluginFieldType::kUNKNOWN, static_cast<nvinfer1::PluginFieldType>(77)}) {
      fields = good;
      fields[i].type = type;
      EXPECT(contains(refusal(op, FieldView(fields).get()), name), "'%s' of type %d", name, static_cast<int>(type));
    }
    for (int32_t length : {-1, 0, good[i].length + 1, INT32_MAX}) {
      FieldView view(good);
      view.rows[i].length = length;
      EXPECT(contains(refusal(op, view.get()), name), "'%s' of length %d", name, length);
    }
    FieldView no_data(good), no_name(good);
    no_data.rows[i].data = nullptr;
    EXPECT(contains(refusal(op, no_data.get()), name), "'%s' without data", name);
    no_name.rows[i].name = nullptr;
    EXPECT(!refusal(op, no_name.get()).empty(), "a field without name");
  }
}

CASE(bad_fields_conv) { damage_fields("SanpGatedConv", seed); }
CASE(bad_fields_gate) { damage_fields("SanpChannelGate", seed); }

CASE(bad_values) {
  const auto refused = [&](const char* op, const NodeFields& values) {
    NodeFields fields = known(op, seed);
    for (NodeField& f : fields)
      for (const NodeField& v : values)
        if (f.name == v.name) f = v;
    EXPECT(!refusal(op, FieldView(fields).get()).empty(), "%s", values[0].name.c_str());
  };
  refused("SanpGatedConv", {NodeField::ints("strides", {0, 1})});
  refused("SanpGatedConv", {NodeField::ints("pads", {0, 0, -1, 0})});
  refused("SanpGatedConv", {NodeField::ints("dilations", {1, -2})});
  refused("SanpGatedConv", {NodeField::ints("group", {0})});
  refused("SanpGatedConv", {NodeField::ints("weight_order", {2})});
  refused("SanpGatedConv", {NodeField::real("act_min", NAN)});
  refused("SanpGatedConv", {NodeField::real("act_max", -1.0f), NodeField::real("act_min", 0.0f)});
  refused("SanpChannelGate", {NodeField::real("threshold", NAN)});
  refused("SanpChannelGate", {NodeField::ints("k", {-1})});
}

std::string load_refusal(const Saved& saved) {
  tensorrt().logger.take();
  const std::unique_ptr<Node> node = load(saved);
  const std::string reason = tensorrt().logger.take();
  EXPECT(node == nullptr || reason.empty(), "accepted, and yet: %s", reason.c_str());
  EXPECT(node != nullptr || contains(reason, saved.op.c_str()), "'%s'", reason.c_str());
  return reason;
}

CASE(bad_engines) {
  for (const std::string op : {"SanpGatedConv", "SanpChannelGate"}) {
    size_t workspace = 0;
    const Saved good = build_engine(problem(op, seed), &workspace);
    EXPECT(load_refusal(good).empty(), "the base is good");
    Saved saved = good;
    for (size_t n = 0; n < good.bytes.size(); ++n) {  // V2
      saved.bytes.resize(n);
      EXPECT(!load_refusal(saved).empty(), "%zu of %zu bytes", n, good.bytes.size());
    }
    saved = good;
    saved.bytes.push_back(0);
    if (!good.bytes.empty()) EXPECT(!load_refusal(saved).empty(), "a byte too many");
    std::mt19937 engine(seed);
    for (int i = 0; i < 2000; ++i) {  // whatever happens, no crash; a damaged header is noticed
      saved = good;
      const size_t parts = good.fields.size() + good.bytes.size();
      const size_t part = engine() % parts;
      if (part < good.fields.size()) {
        for (char& b : saved.fields[part].bytes) b = static_cast<char>(engine());
        load_refusal(saved);
      } else {
        saved.bytes[part - good.fields.size()] = static_cast<char>(~saved.bytes[part - good.fields.size()]);
        const bool header = part - good.fields.size() < 20;
        EXPECT(!load_refusal(saved).empty() || !header, "byte %zu", part);
      }
    }
    for (size_t i = 0; i < good.fields.size(); ++i) {  // V3
      saved = good;
      saved.fields.erase(saved.fields.begin() + static_cast<long>(i));
      EXPECT(contains(load_refusal(saved), i + 1 < good.fields.size() ? good.fields[i].name.c_str() : "version"),
             "without '%s'", good.fields[i].name.c_str());
    }
    saved = good;
    saved.op = op == "SanpGatedConv" ? "SanpChannelGate" : "SanpGatedConv";
    EXPECT(!load_refusal(saved).empty(), "an engine of the other operator");
  }
}

// A profile of one shape.
[[maybe_unused]] std::vector<Dynamic> exact(const std::vector<Desc>& tensors) {
  std::vector<Dynamic> all;
  for (const Desc& t : tensors) {
    Dynamic d{};
    d.desc = t;
    d.min = d.max = t.dims;
    all.push_back(d);
  }
  return all;
}

// Shapes that contradict each other: an error code and a sentence.
CASE(bad_shapes) {
  for (const std::string op : {"SanpGatedConv", "SanpChannelGate"}) {
    const Problem p = problem(op, seed + 1);
    size_t workspace = 0;
    const std::unique_ptr<Node> node = load(build_engine(p, &workspace))->attach();
    const Memory scratch(workspace);
    const std::vector<Desc> good_in = p.descs(p.in), good_out = p.descs(p.out);
    for (size_t t = 0; t < good_in.size() + good_out.size(); ++t)
      for (const int64_t value : {int64_t{-1}, int64_t{123457}}) {
        std::vector<Desc> in = good_in, out = good_out;
        Desc& d = t < in.size() ? in[t] : out[t - in.size()];
        if (d.dims.nbDims < 2) continue;
        d.dims.d[1] = static_cast<DimInteger>(value);
        // Never dereferenced: the shapes are refused before.
        const void* const inputs[8] = {};
        void* const outputs[8] = {};
        tensorrt().logger.take();
        EXPECT(node->enqueue(in.data(), out.data(), inputs, outputs, scratch.get(), nullptr) != 0, "%s tensor %zu",
               op.c_str(), t);
        EXPECT(contains(tensorrt().logger.take(), op.c_str()), "logged");
#ifndef SANP_TRT_V2
        EXPECT(!node->shape_change(in, out), "%s tensor %zu", op.c_str(), t);
        // While building, an open dimension is no contradiction yet.
        EXPECT(node->configure(exact(in), exact(out)) == (value < 0), "%s tensor %zu", op.c_str(), t);
#endif
      }
    Run run(p, workspace);  // and it still works
    run.enqueue(*node);
    run.check("after errors");
    tensorrt().logger.errors = 0;
  }
}

#if !defined(SANP_TRT_V2) && !defined(SANP_TRT_DEVICE)  // TensorRT 8 cannot build without a device
CASE(engine_built_without_a_device) {
  for (const std::string op : {"SanpGatedConv", "SanpChannelGate"}) {
    const Problem p = problem(op, seed);
    const std::unique_ptr<Node> node = create(op, p.attributes);
    setenv("SANP_HOST_KERNELS_DEVICE", "none", 1);
    const Saved saved = node->save();
    unsetenv("SANP_HOST_KERNELS_DEVICE");
    EXPECT(contains(load_refusal(saved), "without a GPU"), "%s", op.c_str());
    EXPECT(load_refusal(node->save()).empty(), "with one it loads");
  }
}
#endif

// Scratch memory of a smaller image may be more than that of the largest, so an open height needs a profile per size.
CASE(sizes_in_one_profile) {
  for (const std::string op : {"SanpGatedConv", "SanpChannelGate"}) {
    const Problem p = problem(op, seed);
    const std::unique_ptr<Node> node = create(op, p.attributes);
    const auto dynamic = [](const Array& array) {
      Dynamic d{};
      d.desc = array.desc();
      d.min = d.max = d.desc.dims;
      return d;
    };
    std::vector<Dynamic> in, out;
    for (const Array& a : p.in) in.push_back(dynamic(a));
    for (const Array& a : p.out) out.push_back(dynamic(a));
    const bool fixed = node->configure(in, out);
    const size_t before = node->workspace(in, out);
    EXPECT(fixed && before < size_t{1} << 40, "one size, %s", op.c_str());
    in[0].max.d[2] += 1;
    const bool open = node->configure(in, out);
    const bool refused = !open || node->workspace(in, out) > size_t{1} << 40;
    EXPECT(refused == (op == "SanpGatedConv"), "an open height, %s", op.c_str());
    if (refused) EXPECT(contains(tensorrt().logger.take(), "give each size a profile"), "says why");
    in[0].max.d[2] -= 1;
    EXPECT(node->configure(in, out) && node->workspace(in, out) == before, "one size again, %s", op.c_str());
  }
  tensorrt().logger.errors = 0;
}

CASE(bad_networks) {
  for (const std::string op : {"SanpGatedConv", "SanpChannelGate"}) {
    const Problem p = problem(op, seed);
    const std::unique_ptr<Node> node = create(op, p.attributes);
    FakeBuilder builder;
    std::vector<nvinfer1::DimsExprs> in(p.in.size()), out;
    for (size_t i = 0; i < in.size(); ++i) {
      in[i].nbDims = static_cast<int32_t>(p.in[i].dims.size());
      for (int32_t d = 0; d < in[i].nbDims; ++d)
        in[i].d[d] = builder.dimension(p.in[i].dims[static_cast<size_t>(d)], true);
    }
    for (auto& d : in) d.nbDims = 3;
    EXPECT(!node->output_shapes(in, builder, &out), "wrong ranks");
    for (auto& d : in) d.nbDims = -1;
    EXPECT(!node->output_shapes(in, builder, &out), "unknown ranks");
    in.pop_back();
    EXPECT(!node->output_shapes(in, builder, &out), "an input too few");
    std::vector<Dynamic> all(p.in.size() + p.out.size() - 1);
    EXPECT(!node->supports(0, all, static_cast<int32_t>(p.in.size()) - 1), "an input too few");
    all.resize(p.in.size() + p.out.size());
    EXPECT(!node->supports(-1, all, static_cast<int32_t>(p.in.size())), "position -1");
    EXPECT(!node->supports(static_cast<int32_t>(all.size()), all, static_cast<int32_t>(p.in.size())),
           "behind the last");
    EXPECT(contains(tensorrt().logger.take(), op.c_str()), "logged");
  }
  tensorrt().logger.errors = 0;
}

}  // namespace
}  // namespace test
}  // namespace sanp
