/**
 * A participant's settings, from the environment, checked whole and frozen.
 *
 *   SYNOD_CLUSTER_ID               name of the cluster; part of every gid
 *   SYNOD_SHARD_ID                 name of the shard that this participant guards
 *   SYNOD_LISTEN                   host:port for the coordinators
 *   SYNOD_DATABASE_URL             postgres://…; or SYNOD_DATABASE_URL_FILE, a file that holds it
 *   SYNOD_COORDINATORS             1=http://host:port,… where branches in doubt are asked about
 *   SYNOD_CLUSTER_SECRET           what all nodes of the cluster know; or SYNOD_CLUSTER_SECRET_FILE
 *   SYNOD_TLS_CA, SYNOD_TLS_CERT, SYNOD_TLS_KEY
 *                                  files of the cluster's authority and this node's own certificate: mutual TLS
 *   SYNOD_INSECURE                 1: listen beyond loopback without either
 *   SYNOD_LOG_LEVEL                debug | info | warn | error | silent          (info)
 *   SYNOD_MAX_BRANCHES             branches at once; below max_prepared_transactions of the
 *                                  server                                        (64)
 *   SYNOD_FINISHING_CONNECTIONS    connections for COMMIT and ROLLBACK PREPARED  (4)
 *   SYNOD_CONNECT_TIMEOUT_MS       bound of connecting to the database           (3000)
 *   SYNOD_INQUIRY_AFTER_MS         how long a branch may be in doubt before a
 *                                  coordinator is asked                          (1000)
 *   SYNOD_RESCAN_INTERVAL_MS       how often the server is asked for forgotten branches (5000)
 *   SYNOD_RECEIPT_RETENTION_HOURS  how long receipts of one-shard transactions are kept (24)
 *   SYNOD_DRAIN_TIMEOUT_MS         how long branches may end after SIGTERM       (3000)
 */
import { z } from "zod";
import type { ClusterId, NodeId, ShardId } from "../shared/model/ids.ts";
import {
  clusterId,
  CLUSTER_ID_PATTERN,
  nodeId,
  shardId,
  SHARD_ID_PATTERN,
} from "../shared/model/ids.ts";
import {
  addressSetting,
  choiceSetting,
  clusterSecretSetting,
  ConfigError,
  formatAddress,
  isLoopback,
  mapSetting,
  plainOrigins,
  readOrigin,
  readSettings,
  switchSetting,
  wholeNumberSetting,
  withSecretFiles,
  type Address,
  type Environment,
} from "../shared/runtime/config-reading.ts";
import type { ClusterSecret } from "../shared/runtime/cluster-secret.ts";
import { readNodeTls, type NodeTls } from "../shared/runtime/node-certificate.ts";
import { LOG_LEVELS, type LogLevel } from "../shared/runtime/logger.ts";
import { settingsOfOthers, type SettingName } from "../shared/runtime/setting-names.ts";

export interface ParticipantConfig {
  readonly clusterId: ClusterId;
  readonly shardId: ShardId;
  readonly listen: Address;
  /** Holds a password: never logged. */
  readonly databaseUrl: string;
  readonly coordinators: ReadonlyMap<NodeId, string>;
  /** Undefined: everybody on the network is believed to be a coordinator. */
  readonly clusterSecret: ClusterSecret | undefined;
  /** Undefined: nothing is encrypted. */
  readonly tls?: NodeTls | undefined;
  readonly logLevel: LogLevel;
  readonly maxBranches: number;
  readonly finishingConnections: number;
  readonly connectTimeoutMs: number;
  readonly inquiryAfterMs: number;
  readonly rescanIntervalMs: number;
  readonly receiptRetentionMs: number;
  readonly drainTimeoutMs: number;
  /** Settings that work but are probably not meant; for the first log lines. */
  readonly warnings: readonly string[];
}

const MAX_NODE_ID = 1023;
const MS_PER_HOUR = 3_600_000;
const SECRETS = ["SYNOD_DATABASE_URL", "SYNOD_CLUSTER_SECRET"] as const;

function readNodeId(text: string): NodeId | undefined {
  const value = Number(text);
  return /^\d+$/.test(text) && value >= 1 && value <= MAX_NODE_ID ? nodeId(value) : undefined;
}

const Settings = z.object({
  SYNOD_CLUSTER_ID: z
    .string()
    .regex(CLUSTER_ID_PATTERN, "must be 1 to 40 of a-z, 0-9 and -")
    .transform(clusterId),
  SYNOD_SHARD_ID: z
    .string()
    .regex(SHARD_ID_PATTERN, "must be 1 to 63 of A-Z, a-z, 0-9, . and -")
    .transform(shardId),
  SYNOD_LISTEN: addressSetting,
  SYNOD_DATABASE_URL: z
    .string()
    .refine(
      (url) => /^postgres(?:ql)?:\/\//.test(url) && URL.canParse(url),
      "must look like postgres://user:password@host:port/database",
    ),
  SYNOD_COORDINATORS: mapSetting(readNodeId, readOrigin, "1=http://host:port,2=http://host:port"),
  SYNOD_CLUSTER_SECRET: clusterSecretSetting,
  SYNOD_TLS_CA: z.string().optional(),
  SYNOD_TLS_CERT: z.string().optional(),
  SYNOD_TLS_KEY: z.string().optional(),
  SYNOD_INSECURE: switchSetting,
  SYNOD_LOG_LEVEL: choiceSetting(LOG_LEVELS, "info"),
  SYNOD_MAX_BRANCHES: wholeNumberSetting(1, 10_000, 64),
  SYNOD_FINISHING_CONNECTIONS: wholeNumberSetting(1, 1_000, 4),
  SYNOD_CONNECT_TIMEOUT_MS: wholeNumberSetting(10, 60_000, 3_000),
  SYNOD_INQUIRY_AFTER_MS: wholeNumberSetting(10, 3_600_000, 1_000),
  SYNOD_RESCAN_INTERVAL_MS: wholeNumberSetting(100, 3_600_000, 5_000),
  SYNOD_RECEIPT_RETENTION_HOURS: wholeNumberSetting(1, 8_760, 24),
  SYNOD_DRAIN_TIMEOUT_MS: wholeNumberSetting(0, 600_000, 3_000),
} satisfies Partial<Record<SettingName, z.ZodType>>);
type Settings = z.infer<typeof Settings>;

/** Throws ConfigError, which names every variable that is wrong. */
export function readParticipantConfig(env: Environment): ParticipantConfig {
  const settings = readSettings(Settings, withSecretFiles(env, SECRETS));
  const problems = brokenRelations(settings);
  if (problems.length > 0) throw new ConfigError(problems);
  const files = SECRETS.map((name) => `${name}_FILE`);
  const others = settingsOfOthers(env, [...Object.keys(Settings.shape), ...files]);
  return Object.freeze({
    clusterId: settings.SYNOD_CLUSTER_ID,
    shardId: settings.SYNOD_SHARD_ID,
    listen: settings.SYNOD_LISTEN,
    databaseUrl: settings.SYNOD_DATABASE_URL,
    coordinators: settings.SYNOD_COORDINATORS,
    clusterSecret: settings.SYNOD_CLUSTER_SECRET,
    tls: tlsFrom(settings),
    logLevel: settings.SYNOD_LOG_LEVEL,
    maxBranches: settings.SYNOD_MAX_BRANCHES,
    finishingConnections: settings.SYNOD_FINISHING_CONNECTIONS,
    connectTimeoutMs: settings.SYNOD_CONNECT_TIMEOUT_MS,
    inquiryAfterMs: settings.SYNOD_INQUIRY_AFTER_MS,
    rescanIntervalMs: settings.SYNOD_RESCAN_INTERVAL_MS,
    receiptRetentionMs: settings.SYNOD_RECEIPT_RETENTION_HOURS * MS_PER_HOUR,
    drainTimeoutMs: settings.SYNOD_DRAIN_TIMEOUT_MS,
    warnings: others.map((name) => `${name} is set, but a participant does not read it`),
  });
}

function tlsFrom(settings: Settings): NodeTls | undefined {
  const { SYNOD_CLUSTER_ID: cluster, SYNOD_SHARD_ID: id } = settings;
  return readNodeTls(settings, { clusterId: cluster, role: "participant", id });
}

function brokenRelations(settings: Settings): readonly string[] {
  const { SYNOD_LISTEN: listen, SYNOD_CLUSTER_SECRET: secret, SYNOD_INSECURE: insecure } = settings;
  const plain = plainOrigins(settings.SYNOD_TLS_CERT, settings.SYNOD_COORDINATORS.values());
  if (plain !== undefined) return [plain];
  const isKnown = secret !== undefined || settings.SYNOD_TLS_CERT !== undefined;
  if (!isLoopback(listen) && !isKnown && !insecure) {
    return [
      `SYNOD_LISTEN is ${formatAddress(listen)}, which others can reach, but neither SYNOD_TLS_CERT nor SYNOD_CLUSTER_SECRET is set; set one ` +
        "on every node, listen on 127.0.0.1, or set SYNOD_INSECURE=1",
    ];
  }
  const { SYNOD_FINISHING_CONNECTIONS: finishing, SYNOD_MAX_BRANCHES: branches } = settings;
  if (settings.SYNOD_RESCAN_INTERVAL_MS < settings.SYNOD_INQUIRY_AFTER_MS) {
    return [
      "SYNOD_RESCAN_INTERVAL_MS must not be shorter than SYNOD_INQUIRY_AFTER_MS: " +
        "branches would be looked for more often than asked about",
    ];
  }
  if (finishing <= branches || branches === 1) return [];
  return [
    `SYNOD_FINISHING_CONNECTIONS is ${finishing}, but with SYNOD_MAX_BRANCHES ${branches} ` +
      `there are never more branches to finish than that`,
  ];
}
