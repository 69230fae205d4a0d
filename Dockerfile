# cxrjax for an ordinary user, with the models of the package: no network is needed to run it.
#   docker build -t cxrjax .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" cxrjax predict --model=lungs --input=radiographs --output=out
#   docker run --rm -p 127.0.0.1:8000:8000 cxrjax serve --model=lungs --host=0.0.0.0
FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/cxrjax \
    && /opt/cxrjax/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve,dicom]'

FROM python:3.11-slim
COPY --from=build /opt/cxrjax /opt/cxrjax
RUN useradd --create-home --uid 1000 reader && mkdir -p /data && chown reader /data
# Any user may run it, also one without a home folder: compiled programs are cached where each has a folder of its own.
ENV PATH=/opt/cxrjax/bin:$PATH XDG_CACHE_HOME=/tmp
USER reader
WORKDIR /data
ENTRYPOINT ["cxrjax"]
CMD ["--help"]
