# The local stack in a container:
#   docker build --tag acknowledger-local .
#   docker run --rm -p 127.0.0.1:4566:4566 acknowledger-local
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1
COPY requirements/local.txt /tmp/
RUN pip install --no-cache-dir --require-hashes --no-deps -r /tmp/local.txt && rm /tmp/local.txt
WORKDIR /acknowledger
COPY template.yaml ./
COPY packages/acknowledger-worker packages/acknowledger-worker
COPY packages/moto-codepipeline packages/moto-codepipeline
RUN pip install --no-cache-dir --no-deps --no-build-isolation packages/acknowledger-worker packages/moto-codepipeline
COPY statemachine statemachine
COPY functions functions
COPY local local
RUN useradd --create-home local && install --directory --owner=local .aws-sam
USER local
EXPOSE 4566
# Only the machine that runs the container should reach it: publish the port on 127.0.0.1, as above.
ENTRYPOINT ["python", "-m", "local"]
CMD ["serve", "--host=0.0.0.0", "--port=4566"]
