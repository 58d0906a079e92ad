# docker build -f deploy/control-plane.Dockerfile -t flowmaster/control-plane:0.1.0 .
# The image of the gateway (deploy/Dockerfile), with what the control plane needs beside it. It serves the directory
# /etc/control, with an auth.yaml (docs/control-plane.md):
#   docker run --read-only -p 127.0.0.1:9010:9010 -v "$PWD/control:/etc/control:ro" flowmaster/control-plane:0.1.0
# What outlives a restart is in /var/lib/gateway, where `state_directory: ${GATEWAY_STATE:-state}` stands in control-plane.yaml.
ARG GATEWAY_IMAGE=flowmaster/gateway:0.1.0

FROM ${GATEWAY_IMAGE}
LABEL org.opencontainers.image.title="Flowmaster control plane"
USER 0:0
COPY deploy/control-plane-requirements.txt /tmp/
# Nothing is installed whose hash is not in this file.
RUN ["/opt/gateway/bin/pip", "install", "--no-cache-dir", "--require-hashes", "--requirement", "/tmp/control-plane-requirements.txt"]
USER 10001:10001
ENV GATEWAY_CONTROL_PLANE_CONFIG=/etc/control
EXPOSE 9010
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9010/ready', timeout=2)"]
CMD ["gateway", "control-plane", "serve", "--host", "0.0.0.0", "--port", "9010"]
