# The two commands of the README in a container. CI has no Docker: every RUN line is what .ci/run does by itself, and the
# steps were gone through one by one in a clean folder.
#
#   docker build -t lastrow .
#   docker run --rm -p 127.0.0.1:8080:8080 lastrow
#
# Inside it listens on every address, since a container has a network of its own; publish the port on 127.0.0.1 as above,
# or mount a file of keys and give `--api-keys /keys.txt` in place of `--insecure`.

FROM node:24-slim AS build
WORKDIR /lastrow
COPY . .
RUN npm ci
RUN npm prune --omit=dev --ignore-scripts

FROM node:24-slim
WORKDIR /lastrow
ENV NODE_ENV=production
COPY --from=build /lastrow/package.json /lastrow/LICENSE ./
COPY --from=build /lastrow/node_modules ./node_modules
COPY --from=build /lastrow/models ./models
COPY --from=build /lastrow/dist ./dist
USER node
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/ready').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js", "serve", "--host", "0.0.0.0"]
CMD ["--insecure"]
