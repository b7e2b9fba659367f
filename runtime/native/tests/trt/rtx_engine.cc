// sanp_trt_rtx: parses a model with TensorRT-RTX, whose builder needs no GPU, and builds an engine with our plugins in
// it.
//
//   sanp_trt_rtx FOLDER LIBRARY MODEL.onnx [--creators] [--local] [--batch N] [--size HxW]...
//
// FOLDER holds libtensorrt_rtx.so and libtensorrt_onnxparser_rtx.so. LIBRARY is libsanp_trt.so, or with --creators
// libsanp_trt_creators.so, which the registry loads. --local loads TensorRT as Python does, hidden from other
// libraries. Each --size is an optimisation profile for images of it. Prints one line per layer, "layer <type> <name>
// <plugin or ->", then "engine <bytes> <plugin names found in it>". 0 when there is an engine.
#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace nvinfer1;

class Logger final : public ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override {
    if (severity <= Severity::kWARNING) fprintf(stderr, "%s\n", message);
  }
};

[[noreturn]] void fail(const std::string& message) {
  fprintf(stderr, "sanp_trt_rtx: %s\n", message.c_str());
  exit(1);
}

void* open_library(const std::string& path, int scope = RTLD_GLOBAL) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | scope);
  if (handle == nullptr) fail(dlerror());
  return handle;
}

template <class F>
F* function(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (found == nullptr) fail(std::string(name) + " is missing");
  return reinterpret_cast<F*>(found);
}

// The plugin's own answer, not the parser's: null for any other layer.
const char* plugin_name(ILayer& layer) {
  if (layer.getType() != LayerType::kPLUGIN_V3) return nullptr;
  IPluginV3& plugin = static_cast<IPluginV3Layer&>(layer).getPlugin();
  auto* const core = static_cast<IPluginV3OneCore*>(plugin.getCapabilityInterface(PluginCapabilityType::kCORE));
  return core ? core->getPluginName() : nullptr;
}

void print_layers(INetworkDefinition& network) {
  for (int32_t i = 0; i < network.getNbLayers(); ++i) {
    ILayer& layer = *network.getLayer(i);
    const char* const plugin = plugin_name(layer);
    printf("layer %d %s %s\n", static_cast<int>(layer.getType()), layer.getName(), plugin ? plugin : "-");
  }
}

// The batch runs from 1 to `batch`; an open height and width of an image are those of `size`.
void add_profile(IBuilder& builder, INetworkDefinition& network, IBuilderConfig& config, int64_t batch,
                 const int64_t* size) {
  IOptimizationProfile* const profile = builder.createOptimizationProfile();
  for (int32_t i = 0; i < network.getNbInputs(); ++i) {
    ITensor& input = *network.getInput(i);
    Dims low = input.getDimensions(), high = low;
    for (int32_t d = 0; d < low.nbDims; ++d)
      if (low.d[d] < 0) low.d[d] = d < 2 ? 1 : size[d - 2], high.d[d] = d < 2 ? batch : size[d - 2];
    profile->setDimensions(input.getName(), OptProfileSelector::kMIN, low);
    profile->setDimensions(input.getName(), OptProfileSelector::kOPT, high);
    profile->setDimensions(input.getName(), OptProfileSelector::kMAX, high);
  }
  config.addOptimizationProfile(profile);
}

void print_engine(const IHostMemory& engine) {
  const std::string bytes(static_cast<const char*>(engine.data()), engine.size());
  printf("engine %zu", engine.size());
  for (const char* name : {"SanpGatedConv", "SanpChannelGate"})
    if (bytes.find(name) != std::string::npos) printf(" %s", name);
  printf("\n");
}

void announce(IPluginRegistry& registry, const char* library, bool creators) {
  if (creators) {
    if (registry.loadLibrary(library) == nullptr) fail("the registry could not load " + std::string(library));
  } else if (function<int32_t()>(open_library(library), "sanp_trt_register")() != 2) {
    fail("the library did not register two operators");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4)
    fail("usage: sanp_trt_rtx FOLDER LIBRARY MODEL.onnx [--creators] [--local] [--batch N] [--size HxW]...");
  bool creators = false;
  int scope = RTLD_GLOBAL;
  int64_t batch = 4;
  std::vector<std::array<int64_t, 2>> sizes;
  for (int i = 4; i < argc; ++i) {
    if (strcmp(argv[i], "--creators") == 0)
      creators = true;
    else if (strcmp(argv[i], "--local") == 0)
      scope = RTLD_LOCAL;
    else if (strcmp(argv[i], "--batch") == 0 && i + 1 < argc)
      batch = atoll(argv[++i]);
    else if (strcmp(argv[i], "--size") == 0 && i + 1 < argc && strchr(argv[i + 1], 'x'))
      ++i, sizes.push_back({atoll(argv[i]), atoll(strchr(argv[i], 'x') + 1)});
    else
      fail("unknown option " + std::string(argv[i]));
  }
  const std::string folder = argv[1];
  void* const runtime = open_library(folder + "/libtensorrt_rtx.so", scope);
  void* const parsers = open_library(folder + "/libtensorrt_onnxparser_rtx.so", scope);
  announce(*function<IPluginRegistry*()>(runtime, "getPluginRegistry")(), argv[2], creators);

  static Logger logger;
  const std::unique_ptr<IBuilder> builder(static_cast<IBuilder*>(
      function<void*(void*, int32_t)>(runtime, "createInferBuilder_INTERNAL")(&logger, NV_TENSORRT_VERSION)));
  if (!builder) fail("no builder");
  const std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(0));
  // The library's own number: its headers count apart from TensorRT's.
  const int32_t version = function<int32_t()>(parsers, "getNvOnnxParserVersion")();
  const std::unique_ptr<nvonnxparser::IParser> parser(static_cast<nvonnxparser::IParser*>(
      function<void*(void*, void*, int)>(parsers, "createNvOnnxParser_INTERNAL")(network.get(), &logger, version)));
  if (!parser || !parser->parseFromFile(argv[3], static_cast<int>(ILogger::Severity::kWARNING))) fail("no network");
  print_layers(*network);

  const std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
  if (sizes.empty()) sizes.push_back({1, 1});
  for (const auto& size : sizes) add_profile(*builder, *network, *config, batch, size.data());
  const std::unique_ptr<IHostMemory> engine(builder->buildSerializedNetwork(*network, *config));
  if (!engine || engine->size() == 0) fail("no engine");
  print_engine(*engine);
  fflush(stdout);
  _Exit(0);  // the library's destructors want a CUDA driver
}
