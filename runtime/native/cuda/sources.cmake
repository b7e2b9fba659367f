# What the library consists of; the emulator of the tests compiles the same files.
set(SANP_CUDA_HOST_SOURCES describe.cc base/device_status.cc conv/api.cc conv/args.cc conv/cost.cc conv/packed_shape.cc
    conv/plan.cc conv/shape.cc)
set(SANP_CUDA_DEVICE_SOURCES conv/launch.cu conv/packed/launch.cu gate/api.cu)
list(TRANSFORM SANP_CUDA_HOST_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM SANP_CUDA_DEVICE_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
