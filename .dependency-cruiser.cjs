/** Who may import whom. Each rule says why; `npm run check` enforces them. */
const pure = [
  "^coordinator/paxos/",
  "^coordinator/transactions/(transaction|answer|command)\\.ts$",
  "^coordinator/transactions/interactive/machine\\.ts$",
  "^coordinator/transactions/ledger/",
  "^coordinator/transactions/deadlocks/wait-graph\\.ts$",
  "^coordinator/log/truncation\\.ts$",
  "^coordinator/log/wal/(codec|crc32|header-block|recovery|segment-header|segment-index|snapshot-codec)\\.ts$",
  "^participant/branches/(branch|judgement|carrier-memory)\\.ts$",
  "^participant/shard/(shard|sqlstate|xid|wire-values|wait-chains|lock-modes)\\.ts$",
  "^shared/model/",
  "^test/histories/(history|list-append|audit|report)/",
  "^test/histories/promise\\.ts$",
];

module.exports = {
  forbidden: [
    {
      name: "no-circular",
      comment: "A cycle means that two files are one thought torn apart.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "paxos-is-alone",
      comment:
        "The consensus core is checked exhaustively: it may know nothing that the checker does not.",
      severity: "error",
      from: { path: "^coordinator/paxos/" },
      to: { pathNot: ["^coordinator/paxos/", "^shared/model/(ids|assert)\\.ts$"] },
    },
    {
      name: "pure-imports-pure",
      comment: "A pure file that imports an impure one is not pure.",
      severity: "error",
      from: { path: pure },
      to: { pathNot: [...pure, "node_modules/zod/"] },
    },
    {
      name: "model-uses-only-zod",
      comment: "What both sides speak must load anywhere.",
      severity: "error",
      from: { path: "^shared/model/" },
      to: { pathNot: ["^shared/model/", "node_modules/zod/"] },
    },
    {
      name: "express-only-at-the-edge",
      comment: "HTTP is an adapter; the heart does not know it.",
      severity: "error",
      from: { pathNot: ["^(coordinator|participant)/api/", "^shared/runtime/http", "^test/"] },
      to: { path: "node_modules/(@types/)?express/" },
    },
    {
      name: "databases-only-behind-the-shard-port",
      comment: "The simulator replaces the shard; nothing else may reach a database.",
      severity: "error",
      from: {
        pathNot: [
          "^participant/shard/",
          "^shared/runtime/database",
          "^migrations/",
          "^demo/",
          "^bench/",
          "^test/",
        ],
      },
      to: { path: "node_modules/(@types/)?(knex|pg)/" },
    },
    {
      name: "sockets-only-in-the-channel",
      comment: "One place knows how messages travel.",
      severity: "error",
      from: { pathNot: ["^shared/runtime/channel", "^test/"] },
      to: { path: "node_modules/(@types/)?ws/" },
    },
    {
      name: "prometheus-only-at-the-edge",
      comment: "The heart keeps numbers; one place knows how they are told.",
      severity: "error",
      from: { pathNot: ["^shared/runtime/metrics\\.ts$"] },
      to: { path: "node_modules/prom-client/" },
    },
    {
      name: "coordinator-does-not-know-participant",
      comment: "They are separate services and meet in shared/model/protocol.ts.",
      severity: "error",
      from: { path: "^coordinator/" },
      to: { path: "^participant/" },
    },
    {
      name: "participant-does-not-know-coordinator",
      comment: "They are separate services and meet in shared/model/protocol.ts.",
      severity: "error",
      from: { path: "^participant/" },
      to: { path: "^coordinator/" },
    },
    {
      name: "ports-do-not-know-adapters",
      comment:
        "Ports never import adapters; only composition roots, their folder's own files and tests build them.",
      severity: "error",
      from: {
        path: "^(coordinator/(transactions|replication|paxos)|participant/branches)/|^coordinator/coordinator-node\\.ts$",
      },
      to: {
        path: [
          "^coordinator/log/(wal|memory)",
          "^coordinator/transport/socket",
          "^participant/shard/(postgres|memory)",
          "^shared/runtime/",
        ],
      },
    },
    {
      name: "shared-knows-nobody",
      comment: "Shared code is below everything.",
      severity: "error",
      from: { path: "^shared/" },
      to: { path: "^(client|coordinator|participant|demo|bench|migrations)/" },
    },
    {
      name: "client-stands-alone",
      comment: "It runs in other people's programs: it knows only what both sides speak.",
      severity: "error",
      from: { path: "^client/" },
      to: { path: "^(coordinator|participant|demo|bench|migrations|shared/runtime)/" },
    },
    {
      name: "nobody-needs-the-client",
      comment: "The services do not talk to each other through the client of their users.",
      severity: "error",
      from: { pathNot: "^(client|demo|bench|test)/" },
      to: { path: "^client/" },
    },
    {
      name: "nothing-imports-tests",
      comment: "Production must not carry test code.",
      severity: "error",
      from: { pathNot: "^test/" },
      to: { path: "^test/" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|\\.synod)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
