# One image for coordinators, participants and the command line; the command says which.
#
#   docker build -t synod .
#   docker run synod node dist/coordinator/main.js      (what runs without a command)
#   docker run synod node dist/participant/main.js
#   docker run synod node dist/client/cli.js status
ARG NODE_IMAGE=node:20-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /synod
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE}
ENV NODE_ENV=production \
    SYNOD_DATA_DIR=/var/lib/synod
WORKDIR /synod
# A named volume takes its owner from here.
RUN install --directory --owner=node --group=node --mode=700 /var/lib/synod
COPY --from=build /synod/package.json ./
COPY --from=build /synod/node_modules node_modules
COPY --from=build /synod/dist dist
USER node
HEALTHCHECK --interval=5s --timeout=15s --start-period=60s --retries=6 \
  CMD ["node", "dist/shared/runtime/health-probe.js"]
CMD ["node", "dist/coordinator/main.js"]
