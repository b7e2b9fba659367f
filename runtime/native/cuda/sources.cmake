# What the library consists of; the emulator of the tests compiles the same files.
set(SANP_CUDA_HOST_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/conv_api.cc ${CMAKE_CURRENT_LIST_DIR}/conv_args.cc ${CMAKE_CURRENT_LIST_DIR}/conv_shape.cc
  ${CMAKE_CURRENT_LIST_DIR}/cost.cc ${CMAKE_CURRENT_LIST_DIR}/device_status.cc ${CMAKE_CURRENT_LIST_DIR}/plan.cc)
set(SANP_CUDA_DEVICE_SOURCES ${CMAKE_CURRENT_LIST_DIR}/conv_launch.cu ${CMAKE_CURRENT_LIST_DIR}/gate_api.cu)
