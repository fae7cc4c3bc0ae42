/**
 * A coordinator node's settings, from the environment, checked whole and frozen.
 *
 *   SYNOD_CLUSTER_ID              name of the cluster; part of every gid
 *   SYNOD_NODE_ID                 1..1023, unique in the group, never given to another disk
 *   SYNOD_DATA_DIR                where the log lives
 *   SYNOD_HTTP_LISTEN             host:port for clients
 *   SYNOD_PEER_LISTEN             host:port for the other coordinators
 *   SYNOD_PEERS                   1=host:port,2=…      every node of the group, this one included
 *   SYNOD_COORDINATORS            1=http://host:port,… the same nodes, as clients and followers reach them
 *   SYNOD_PARTICIPANTS            s1=host:port,…       every shard
 *   SYNOD_CLUSTER_SECRET          what all nodes of the cluster know; or SYNOD_CLUSTER_SECRET_FILE
 *   SYNOD_TLS_CA, SYNOD_TLS_CERT, SYNOD_TLS_KEY
 *                                 files of the cluster's authority and this node's own certificate: mutual TLS
 *                                 between nodes, and TLS for clients
 *   SYNOD_CLIENTS_FILE            who may ask for what (api/access/clients.ts)
 *   SYNOD_STATEMENTS_FILE         statements that have names (api/access/statements.ts); the same on all nodes
 *   SYNOD_INSECURE                1: listen beyond loopback without the two above
 *   SYNOD_LOG_LEVEL               debug | info | warn | error | silent         (info)
 *   SYNOD_HEARTBEAT_INTERVAL_MS   the leader's heartbeat                         (75)
 *   SYNOD_ELECTION_TIMEOUT_MS     silence after which a leader counts as gone; each node waits
 *                                 one to two of these                            (600)
 *   SYNOD_LEADER_WAIT_MS          how long a request waits while nobody leads    (3000)
 *   SYNOD_DRAIN_TIMEOUT_MS        how long requests may end after SIGTERM        (10000)
 *   SYNOD_MAX_IN_FLIGHT           requests at once; more are refused with 503    (1024)
 *   SYNOD_MAX_OPEN_PER_CLIENT     interactive transactions that one client may have open, of 64
 *                                 in all; more are refused with 429              (32)
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { ClusterId, NodeId, ShardId } from "../shared/model/ids.ts";
import {
  clusterId,
  CLUSTER_ID_PATTERN,
  nodeId,
  shardId,
  SHARD_ID_PATTERN,
} from "../shared/model/ids.ts";
import { INTERACTIVE_LIMITS } from "../shared/model/interactive.ts";
import {
  addressSetting,
  choiceSetting,
  clusterSecretSetting,
  ConfigError,
  formatAddress,
  isLoopback,
  mapSetting,
  plainOrigins,
  readAddress,
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
import { Clients } from "./api/access/clients.ts";
import { Statements } from "./api/access/statements.ts";

export interface CoordinatorConfig {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  readonly dataDir: string;
  readonly httpListen: Address;
  readonly peerListen: Address;
  /** Every node of the group, this one included, in the order of their ids. */
  readonly members: readonly NodeId[];
  readonly peers: ReadonlyMap<NodeId, Address>;
  /** Where clients and followers reach each node. */
  readonly coordinators: ReadonlyMap<NodeId, string>;
  readonly participants: ReadonlyMap<ShardId, Address>;
  /** Undefined: everybody on the network is believed to be a node. */
  readonly clusterSecret: ClusterSecret | undefined;
  /** Undefined: nothing is encrypted. */
  readonly tls?: NodeTls | undefined;
  /** Undefined: everybody may do everything. */
  readonly clients: Clients | undefined;
  readonly statements: Statements;
  readonly logLevel: LogLevel;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly leaderWaitMs: number;
  readonly drainTimeoutMs: number;
  readonly maxInFlight: number;
  readonly maxOpenPerClient: number;
  /** Settings that work but are probably not meant; for the first log lines. */
  readonly warnings: readonly string[];
}

/** Fewer beats than this between a leader's silence and its end, and one lost packet deposes it. */
const MIN_BEATS_PER_TIMEOUT = 4;
const MAX_NODE_ID = 1023;
const SECRETS = ["SYNOD_CLUSTER_SECRET"] as const;
/** By shared/runtime/failpoints.ts. */
const READ_ELSEWHERE = ["SYNOD_FAILPOINTS", "SYNOD_ALLOW_FAILPOINTS"];

function readNodeId(text: string): NodeId | undefined {
  const value = Number(text);
  return /^\d+$/.test(text) && value >= 1 && value <= MAX_NODE_ID ? nodeId(value) : undefined;
}

function readShardId(text: string): ShardId | undefined {
  return SHARD_ID_PATTERN.test(text) ? shardId(text) : undefined;
}

function fileSetting<Content>(parse: (text: string) => Content) {
  return z
    .string()
    .transform((path, context): Content => {
      try {
        return parse(readFileSync(path, "utf8"));
      } catch (error) {
        context.addIssue(`names ${path}, which cannot be used: ${(error as Error).message}`);
        return z.NEVER;
      }
    })
    .optional();
}

const Settings = z.object({
  SYNOD_CLUSTER_ID: z
    .string()
    .regex(CLUSTER_ID_PATTERN, "must be 1 to 40 of a-z, 0-9 and -")
    .transform(clusterId),
  SYNOD_NODE_ID: wholeNumberSetting(1, MAX_NODE_ID).transform(nodeId),
  SYNOD_DATA_DIR: z.string(),
  SYNOD_HTTP_LISTEN: addressSetting,
  SYNOD_PEER_LISTEN: addressSetting,
  SYNOD_PEERS: mapSetting(readNodeId, readAddress, "1=host:port,2=host:port"),
  SYNOD_COORDINATORS: mapSetting(readNodeId, readOrigin, "1=http://host:port,2=http://host:port"),
  SYNOD_PARTICIPANTS: mapSetting(readShardId, readAddress, "s1=host:port,s2=host:port"),
  SYNOD_CLUSTER_SECRET: clusterSecretSetting,
  SYNOD_CLIENTS_FILE: fileSetting((text) => Clients.parse(text)),
  SYNOD_STATEMENTS_FILE: fileSetting((text) => Statements.parse(text)),
  SYNOD_TLS_CA: z.string().optional(),
  SYNOD_TLS_CERT: z.string().optional(),
  SYNOD_TLS_KEY: z.string().optional(),
  SYNOD_INSECURE: switchSetting,
  SYNOD_LOG_LEVEL: choiceSetting(LOG_LEVELS, "info"),
  SYNOD_HEARTBEAT_INTERVAL_MS: wholeNumberSetting(5, 10_000, 75),
  SYNOD_ELECTION_TIMEOUT_MS: wholeNumberSetting(20, 60_000, 600),
  SYNOD_LEADER_WAIT_MS: wholeNumberSetting(0, 60_000, 3_000),
  SYNOD_DRAIN_TIMEOUT_MS: wholeNumberSetting(0, 600_000, 10_000),
  SYNOD_MAX_IN_FLIGHT: wholeNumberSetting(1, 100_000, 1_024),
  SYNOD_MAX_OPEN_PER_CLIENT: wholeNumberSetting(
    1,
    INTERACTIVE_LIMITS.maxOpen,
    INTERACTIVE_LIMITS.defaultMaxOpenPerClient,
  ),
} satisfies Partial<Record<SettingName, z.ZodType>>);
type Settings = z.infer<typeof Settings>;

/** Throws ConfigError, which names every variable that is wrong. With named statements, the SQL parser must be loaded. */
export function readCoordinatorConfig(env: Environment): CoordinatorConfig {
  const settings = readSettings(Settings, withSecretFiles(env, SECRETS));
  const problems = brokenRelations(settings);
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze({
    clusterId: settings.SYNOD_CLUSTER_ID,
    nodeId: settings.SYNOD_NODE_ID,
    dataDir: settings.SYNOD_DATA_DIR,
    httpListen: settings.SYNOD_HTTP_LISTEN,
    peerListen: settings.SYNOD_PEER_LISTEN,
    members: [...settings.SYNOD_PEERS.keys()].sort((one, other) => one - other),
    peers: settings.SYNOD_PEERS,
    coordinators: settings.SYNOD_COORDINATORS,
    participants: settings.SYNOD_PARTICIPANTS,
    clusterSecret: settings.SYNOD_CLUSTER_SECRET,
    tls: tlsFrom(settings),
    clients: settings.SYNOD_CLIENTS_FILE,
    statements: settings.SYNOD_STATEMENTS_FILE ?? new Statements(),
    logLevel: settings.SYNOD_LOG_LEVEL,
    heartbeatIntervalMs: settings.SYNOD_HEARTBEAT_INTERVAL_MS,
    electionTimeoutMs: settings.SYNOD_ELECTION_TIMEOUT_MS,
    leaderWaitMs: settings.SYNOD_LEADER_WAIT_MS,
    drainTimeoutMs: settings.SYNOD_DRAIN_TIMEOUT_MS,
    maxInFlight: settings.SYNOD_MAX_IN_FLIGHT,
    maxOpenPerClient: settings.SYNOD_MAX_OPEN_PER_CLIENT,
    warnings: warningsFor(settings, env),
  });
}

function tlsFrom(settings: Settings): NodeTls | undefined {
  const { SYNOD_CLUSTER_ID: cluster, SYNOD_NODE_ID: id } = settings;
  return readNodeTls(settings, { clusterId: cluster, role: "coordinator", id: String(id) });
}

function brokenRelations(settings: Settings): readonly string[] {
  const { SYNOD_NODE_ID: self, SYNOD_PEERS: peers, SYNOD_COORDINATORS: coordinators } = settings;
  const problems: string[] = [];
  if (!peers.has(self)) {
    problems.push(`SYNOD_PEERS does not name this node, which SYNOD_NODE_ID says is ${self}`);
  }
  const missing = [...peers.keys()].filter((id) => !coordinators.has(id));
  const surplus = [...coordinators.keys()].filter((id) => !peers.has(id));
  if (missing.length + surplus.length > 0) {
    problems.push(
      `SYNOD_COORDINATORS must name the same nodes as SYNOD_PEERS; they differ in ` +
        [...missing, ...surplus].join(", "),
    );
  }
  const plain = plainOrigins(settings.SYNOD_TLS_CERT, coordinators.values());
  if (plain !== undefined) problems.push(plain);
  problems.push(...exposures(settings), ...accessProblems(settings));
  const shortest = MIN_BEATS_PER_TIMEOUT * settings.SYNOD_HEARTBEAT_INTERVAL_MS;
  if (settings.SYNOD_ELECTION_TIMEOUT_MS < shortest) {
    problems.push(
      `SYNOD_ELECTION_TIMEOUT_MS must be at least ${MIN_BEATS_PER_TIMEOUT} times ` +
        `SYNOD_HEARTBEAT_INTERVAL_MS, which is ${shortest}, but is ${settings.SYNOD_ELECTION_TIMEOUT_MS}`,
    );
  }
  return problems;
}

function accessProblems(settings: Settings): readonly string[] {
  const problems: string[] = [];
  for (const name of ["SYNOD_CLIENTS_FILE", "SYNOD_STATEMENTS_FILE"] as const) {
    const named = [...(settings[name]?.shards ?? [])];
    const unknown = named.filter((shard) => !settings.SYNOD_PARTICIPANTS.has(shard as ShardId));
    if (unknown.length > 0) {
      problems.push(`${name} names shards that SYNOD_PARTICIPANTS does not: ${unknown.join(", ")}`);
    }
  }
  if (settings.SYNOD_CLIENTS_FILE !== undefined && settings.SYNOD_CLUSTER_SECRET === undefined) {
    problems.push(
      `SYNOD_CLUSTER_SECRET is not set, but SYNOD_CLIENTS_FILE is: without it a client could pass for a node, and for any ` +
        `other client`,
    );
  }
  return problems;
}

/** Beyond this machine nobody is believed without proof, unless the operator says so. */
function exposures(settings: Settings): readonly string[] {
  if (settings.SYNOD_INSECURE) return [];
  const { SYNOD_HTTP_LISTEN: http, SYNOD_PEER_LISTEN: peer } = settings;
  const problems: string[] = [];
  if (!isLoopback(http) && settings.SYNOD_CLIENTS_FILE === undefined) {
    problems.push(
      `SYNOD_HTTP_LISTEN is ${formatAddress(http)}, which others can reach, but SYNOD_CLIENTS_FILE does not say who may ` +
        `ask; set it, listen on 127.0.0.1, or set SYNOD_INSECURE=1`,
    );
  }
  const { SYNOD_CLUSTER_SECRET: secret, SYNOD_TLS_CERT: certificate } = settings;
  const isKnown = secret !== undefined || certificate !== undefined;
  if ((!isLoopback(http) || !isLoopback(peer)) && !isKnown) {
    problems.push(
      `SYNOD_CLUSTER_SECRET is not set, nor SYNOD_TLS_CERT, but others can reach this node; set one on every node, listen on 127.0.0.1, or ` +
        `set SYNOD_INSECURE=1`,
    );
  }
  return problems;
}

function warningsFor(settings: Settings, env: Environment): readonly string[] {
  const files = SECRETS.map((name) => `${name}_FILE`);
  const own = [...Object.keys(Settings.shape), ...files, ...READ_ELSEWHERE];
  const others = settingsOfOthers(env, own).map(
    (name) => `${name} is set, but a coordinator does not read it`,
  );
  const size = settings.SYNOD_PEERS.size;
  if (size % 2 === 1) return others;
  return [
    ...others,
    `SYNOD_PEERS names ${size} nodes: an even group survives no more failures than one of ${size - 1}`,
  ];
}
