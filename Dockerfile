# The CPU image, which runs everything but TensorRT:
#
#     docker build -t sanp .
#     docker run --rm -v "$PWD/out:/out" sanp demo -o /out/demo
#
# The TensorRT image (for an x86 machine with an NVIDIA GPU; boards use their own JetPack instead) puts the same wheel
# on NVIDIA's image, which has TensorRT, its headers and trtexec:
#
#     docker build -t sanp-tensorrt --target tensorrt --build-arg TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:25.10-py3 .
#     docker run --rm --gpus all sanp-tensorrt doctor
ARG TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:25.10-py3

FROM python:3.11-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${TENSORRT_IMAGE} AS tensorrt
COPY --from=build /wheels /wheels
COPY constraints.txt /
RUN pip install --no-cache-dir -c /constraints.txt --find-links /wheels "sanp-toolchain[all]"
ENTRYPOINT ["sanp"]
CMD ["doctor"]

FROM python:3.11-slim AS cpu
COPY --from=build /wheels /wheels
COPY constraints.txt /
# The extra index has the CPU build of torch, a tenth of the size of the default one.
RUN pip install --no-cache-dir -c /constraints.txt --find-links /wheels \
      --extra-index-url https://download.pytorch.org/whl/cpu "sanp-toolchain[all]" \
 && useradd --create-home sanp
USER sanp
WORKDIR /home/sanp
ENTRYPOINT ["sanp"]
CMD ["demo"]
