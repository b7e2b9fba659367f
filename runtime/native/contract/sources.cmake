# The contract of the operators; every library that has operators compiles it.
set(SANP_CONTRACT_SOURCES channel_gate.cc conv_shape.cc gated_conv.cc gated_qlinear_conv.cc inverted_residual.cc max_pool.cc pixel_gated_conv.cc
  qlinear_channel_gate.cc tensor_shape.cc)
list(TRANSFORM SANP_CONTRACT_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
