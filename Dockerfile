# The two commands of the README in a container. CI has no Docker: every RUN line is what .ci/run does by itself, and the
# steps were gone through one by one in a clean folder.
#
#   docker build -t lastrow .
#   docker run --rm -p 127.0.0.1:8080:8080 -v ./keys.txt:/keys.txt:ro lastrow --host 0.0.0.0 --api-keys /keys.txt
#
# By itself it listens inside the container alone: whom it answers is for whoever starts it to say. A container has a network
# of its own, so `--host 0.0.0.0` with keys as above, or with `--insecure` where the port is published on 127.0.0.1.

FROM node:24.21.0-slim AS build
WORKDIR /lastrow
COPY . .
RUN npm ci
# TypeScript is an optional peer of a dependency, and stays unless those are left out, too.
RUN npm prune --omit=dev --omit=optional --ignore-scripts
# The client of a tier in Redis is an optional peer: it is put where Node looks last, and not into what was pruned.
RUN npm install --prefix /peers --ignore-scripts "ioredis@$(node -p "require('./package.json').devDependencies.ioredis")"

FROM node:24.21.0-slim
WORKDIR /lastrow
ENV NODE_ENV=production
COPY --from=build /lastrow/package.json /lastrow/LICENSE ./
COPY --from=build /lastrow/node_modules ./node_modules
COPY --from=build /peers/node_modules /node_modules
COPY --from=build /lastrow/models ./models
COPY --from=build /lastrow/dist ./dist
USER node
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/ready').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js", "serve"]
