// What a builder and an execution context ask of a plugin.
#include "tests/trt/lifecycle.h"

#include <math.h>
#include <string.h>

#include "tests/trt/cases.h"
#include "tests/trt/half.h"

namespace sanp {
namespace test {
namespace {

using nvinfer1::DataType;
using nvinfer1::TensorFormat;

// Types and formats a builder offers, LINEAR among others.
constexpr DataType kTypes[] = {DataType::kFLOAT, DataType::kHALF, DataType::kINT8, DataType::kINT32};
constexpr TensorFormat kFormats[] = {TensorFormat::kLINEAR, TensorFormat::kCHW2,  TensorFormat::kHWC8,
                                     TensorFormat::kCHW4,   TensorFormat::kCHW32, TensorFormat::kHWC};

// Shapes of the network: the batch is open where an input has one.
Dynamic dynamic(const Array& array, bool batched) {
  Dynamic d{};
  d.desc = array.desc();
  d.max = d.min = d.desc.dims;
#if NV_TENSORRT_MAJOR >= 10
  d.opt = d.max;
#endif
  if (batched) {
    d.desc.dims.d[0] = -1;
    d.min.d[0] = 1;
  }
  return d;
}

// Position by position, later ones invalid as the interface says; exactly the type of the model must remain.
void search_formats(Node& node, const Problem& p, const std::vector<Dynamic>& in, const std::vector<Dynamic>& out) {
  std::vector<Dynamic> all = in;
  all.insert(all.end(), out.begin(), out.end());
  std::vector<Array> arrays = p.in;
  arrays.insert(arrays.end(), p.out.begin(), p.out.end());
  std::vector<Dynamic> offered = all;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool typed = i == 0 || (p.op == "SanpGatedConv" && (i == 1 || i == 5 || i == 6));
    for (DataType type : kTypes)
      for (TensorFormat format : kFormats) {
        for (size_t later = i; later < all.size(); ++later)
          memset(static_cast<void*>(&offered[later].desc), 0xee, sizeof(Desc));
        offered[i] = all[i];
        offered[i].desc.type = type;
        offered[i].desc.format = format;
        const bool wanted = i == 0  ? type == DataType::kFLOAT || type == DataType::kHALF
                            : typed ? type == all[0].desc.type
                                    : type == DataType::kFLOAT;
        const bool expected = wanted && format == TensorFormat::kLINEAR;
        EXPECT(node.supports(static_cast<int32_t>(i), offered, static_cast<int32_t>(in.size())) == expected,
               "tensor %zu, type %d, format %d", i, static_cast<int>(type), static_cast<int>(format));
      }
    offered[i] = all[i];
    EXPECT((all[i].desc.type == DataType::kHALF) == arrays[i].half, "the model has this type");
  }
}

void check_types(Node& node, const Problem& p) {
  std::vector<DataType> in, out;
  for (const Array& a : p.in) in.push_back(a.half ? DataType::kHALF : DataType::kFLOAT);
  EXPECT(node.output_types(in, &out) && out.size() == p.out.size(), "output types");
  for (size_t i = 0; i < out.size(); ++i)
    EXPECT(out[i] == (p.out[i].half ? DataType::kHALF : DataType::kFLOAT), "type of output %zu", i);
}

// open: height and width are symbols too, as in a network for several image sizes.
void check_shapes(Node& node, const Problem& p, bool open) {
  FakeBuilder builder;
  std::vector<nvinfer1::DimsExprs> in(p.in.size()), out;
  for (size_t i = 0; i < in.size(); ++i) {
    in[i].nbDims = static_cast<int32_t>(p.in[i].dims.size());
    // The batch is a symbol; weights are numbers.
    for (size_t d = 0; d < p.in[i].dims.size(); ++d)
      in[i].d[d] = builder.dimension(p.in[i].dims[d], !(p.batched[i] && (d == 0 || (open && d > 1))));
  }
  EXPECT(node.output_shapes(in, builder, &out) && out.size() == p.out.size(), "%s", tensorrt().logger.take().c_str());
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT(out[i].nbDims == static_cast<int32_t>(p.out[i].dims.size()), "rank of output %zu", i);
    for (size_t d = 0; d < p.out[i].dims.size(); ++d)
      EXPECT(FakeBuilder::value(*out[i].d[d]) == p.out[i].dims[d], "dimension %zu of output %zu is %lld", d, i,
             (long long)FakeBuilder::value(*out[i].d[d]));
  }
}

}  // namespace

Saved build_engine(const Problem& p, size_t* workspace) {
  std::unique_ptr<Node> parsed = create(p.op, p.attributes);
  EXPECT(parsed, "%s: %s", p.description.c_str(), tensorrt().logger.take().c_str());
  const std::unique_ptr<Node> network = parsed->clone();
  parsed.reset();
  const std::unique_ptr<Node> node = network->clone();
  std::vector<Dynamic> in, out;
  for (size_t i = 0; i < p.in.size(); ++i) in.push_back(dynamic(p.in[i], p.batched[i]));
  for (const Array& a : p.out) out.push_back(dynamic(a, true));
  check_types(*node, p);
  check_shapes(*node, p, false);
  check_shapes(*node, p, true);
  search_formats(*node, p, in, out);
  EXPECT(node->configure(in, out), "%s", tensorrt().logger.take().c_str());
  *workspace = node->workspace(in, out);
  const std::unique_ptr<Node> timed = node->clone();
  EXPECT(timed->shape_change(p.descs(p.in), p.descs(p.out)), "%s", tensorrt().logger.take().c_str());
  Run run(p, *workspace);
  run.scramble(static_cast<uint32_t>(p.in[0].dims[1]));
  run.enqueue(*timed);
  synchronize();
  return node->save();
}

Run::Run(const Problem& problem, size_t workspace)
    : problem_(problem),
      in_descs_(problem.descs(problem.in)),
      out_descs_(problem.descs(problem.out)),
      workspace_(workspace) {
  for (const Array& a : problem.in) in_.push_back(std::make_unique<Memory>(a.bytes()));
  for (const Array& a : problem.out) out_.push_back(std::make_unique<Memory>(a.elements() * (a.half ? 2 : 4)));
}

void Run::enqueue(Node& node) {
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  for (const auto& m : in_) inputs.push_back(m->get());
  for (const auto& m : out_) outputs.push_back(m->get());
  const int status = node.enqueue(in_descs_.data(), out_descs_.data(), inputs.data(), outputs.data(), workspace_.get(),
                                  static_cast<cudaStream_t>(stream()));
  EXPECT(status == 0, "%s: %s", problem_.description.c_str(), tensorrt().logger.take().c_str());
}

void Run::scramble(uint32_t seed) {
  std::mt19937 engine(seed);
  for (size_t i = 0; i < in_.size(); ++i) {
    std::vector<char> bytes = problem_.in[i].bytes();
    for (char& b : bytes) b = static_cast<char>(engine());
    in_[i] = std::make_unique<Memory>(bytes);
  }
}

void Run::check(const std::string& where) const {
  workspace_.download();
  for (size_t i = 0; i < out_.size(); ++i) {
    const std::vector<char> bytes = out_[i]->download();
    for (size_t at = 0; at < problem_.out[i].values.size(); ++at) {
      float got;
      uint16_t half;
      if (problem_.out[i].half)
        memcpy(&half, &bytes[2 * at], 2), got = float_of_half(half);
      else
        memcpy(&got, &bytes[4 * at], 4);
      const double expected = problem_.out[i].values[at];
      EXPECT(fabs(got - expected) <= problem_.tolerance[i][at], "%s: %s: output %zu [%zu] = %g, expected %g within %g",
             where.c_str(), problem_.description.c_str(), i, at, got, expected, problem_.tolerance[i][at]);
    }
  }
}

}  // namespace test
}  // namespace sanp
