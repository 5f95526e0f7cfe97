# The image of a member (target node) and of the operator (target operator, at the end):
#   docker build --target operator --tag etcdlike-operator .
#   docker build --target node --tag etcdlike .
#   docker run --read-only -p 2379:2379 -v data:/var/lib/etcdlike etcdlike \
#     --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://localhost:2379

FROM docker.io/library/node:24-bookworm-slim AS dependencies
WORKDIR /opt/etcdlike
COPY package.json package-lock.json .npmrc ./
# Native parts come prebuilt for this platform, so no install script has to run. The platform packages of
# Node itself are for machines with another Node; this image has the right one.
RUN npm ci --omit=dev --ignore-scripts && rm -rf node_modules/.bin node_modules/node-linux-* \
  && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

# Each image leaves out the largest of what only the other one loads.
FROM dependencies AS node-dependencies
RUN rm -rf node_modules/@kubernetes

FROM dependencies AS operator-dependencies
RUN rm -rf node_modules/lmdb node_modules/@lmdb node_modules/@aws-sdk node_modules/@smithy node_modules/fastify

FROM docker.io/library/node:24-bookworm-slim AS build
WORKDIR /opt/etcdlike
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY proto proto
COPY node node
COPY operator operator
# Node would run the TypeScript as it is, but every thread would then hold a compiler: 110 MB more in memory.
RUN npm run build && chmod +x dist/node/bin.mjs

# Node's own image brings npm and yarn. Debian's has the C++ library, which is all that the program file needs.
FROM docker.io/library/debian:bookworm-slim AS node
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# `etcd` is there for Pods whose command names it.
RUN ln -s /opt/etcdlike/node/bin.mjs /usr/local/bin/etcdlike \
  && ln -s etcdlike /usr/local/bin/etcd \
  && install --directory --owner=65532 --group=65532 /var/lib/etcdlike
COPY --chmod=644 package.json LICENSE /opt/etcdlike/
COPY --from=node-dependencies /opt/etcdlike/node_modules /opt/etcdlike/node_modules
COPY --from=build /opt/etcdlike/dist/node /opt/etcdlike/node
COPY --from=build /opt/etcdlike/dist/proto /opt/etcdlike/proto
USER 65532:65532
# The data directory's default is NAME.etcd in the working directory. ETCD_DATA_DIR stays unset, because a
# variable and a flag for the same setting are refused.
WORKDIR /var/lib/etcdlike
VOLUME /var/lib/etcdlike
EXPOSE 2379 2380
ENTRYPOINT ["etcdlike"]

FROM docker.io/library/debian:bookworm-slim AS operator
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --chmod=644 package.json LICENSE /opt/etcdlike/
COPY --from=operator-dependencies /opt/etcdlike/node_modules /opt/etcdlike/node_modules
COPY --from=build /opt/etcdlike/dist/operator /opt/etcdlike/operator
COPY --from=build /opt/etcdlike/dist/proto /opt/etcdlike/proto
USER 65532:65532
WORKDIR /opt/etcdlike
EXPOSE 8080
ENTRYPOINT ["node", "/opt/etcdlike/operator/main.js"]
