/**
 * The composition root of a coordinator node: builds the adapters, hands them to the parts that know only ports, starts
 * them in order and stops them in reverse.
 *
 *   log ─▶ peers' listener ─▶ clients' listener ─▶ node ─▶ connections to peers and participants
 *
 * The ports are bound before the node starts, so that a taken port ends the process before it takes part in anything.
 */
import { assert } from "../shared/model/assert.ts";
import type { ErrorCode } from "../shared/model/errors.ts";
import type { NodeId, ShardId } from "../shared/model/ids.ts";
import type { ReachFailpoint } from "../shared/model/failpoints.ts";
import type { Logger } from "../shared/model/ports.ts";
import { systemClock, systemRandom } from "../shared/runtime/clock.ts";
import { formatAddress, type Address } from "../shared/runtime/config-reading.ts";
import { answerJson, listenHttp, type HttpListener } from "../shared/runtime/http.ts";
import { Metrics } from "../shared/runtime/metrics.ts";
import { loadSqlParser } from "../shared/runtime/sql-statement.ts";
import { Gate } from "./api/access/gate.ts";
import { createForwarder } from "./api/forwarding.ts";
import { measureCoordinator } from "./api/metrics.ts";
import { createApi } from "./api/server.ts";
import type { CoordinatorConfig } from "./config.ts";
import { consensusSettings } from "./consensus-settings.ts";
import { createCoordinatorNode, type CoordinatorNode } from "./coordinator-node.ts";
import type { LogContents, LogStore } from "./log/log-store.ts";
import { systemDisk } from "./log/wal/system-disk.ts";
import { timedDisk } from "./log/wal/timed-disk.ts";
import { WriteAheadLog } from "./log/wal/wal.ts";
import type { SnapshotPolicy } from "./replication/snapshots.ts";
import type { LedgerOptions } from "./transactions/ledger/ledger.ts";
import { PeersFile } from "./transport/peers-file.ts";
import { SocketParticipants } from "./transport/socket-participants.ts";
import { SocketPeers } from "./transport/socket-peers.ts";

const UPGRADE_REQUIRED = 426;
/** 0.125 ms to 4 s, doubling: fast disks take tenths of a millisecond. */
const SYNC_BUCKETS_SECONDS = Array.from({ length: 16 }, (_, power) => 0.000125 * 2 ** power);

export interface CoordinatorOptions {
  readonly config: CoordinatorConfig;
  readonly logger: Logger;
  /** The node can no longer be trusted: the process must end. */
  readonly onFatal: (error: unknown) => void;
  readonly failpoint: ReachFailpoint;
  /** For tests: all nodes of a group must have the same, for they forget together. */
  readonly ledgerOptions?: LedgerOptions;
  readonly snapshots?: SnapshotPolicy;
}

export interface Coordinator {
  readonly httpPort: number;
  /** Refuses what is new, lets requests end within the drain timeout, then takes everything down. */
  stop(): Promise<void>;
}

type Undo = () => Promise<void> | void;

/** Rejects when the log cannot be opened or a port cannot be had; then nothing is left running. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const undo: Undo[] = [];
  const unwind = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const httpPort = await start(options, undo);
    return { httpPort, stop: unwind };
  } catch (error) {
    await unwind();
    throw error;
  }
}

async function start(options: CoordinatorOptions, undo: Undo[]): Promise<number> {
  const { config, logger, onFatal } = options;
  const { clusterId, nodeId: self, peers: peerAddresses, participants } = config;
  for (const warning of config.warnings) logger.warn({}, warning);
  await loadSqlParser();
  const identity = { clusterId, nodeId: self };
  const memory = new PeersFile({ directory: config.dataDir, clock: systemClock, onFatal });
  // It was made with the log.
  const expectExisting = memory.exists;
  const metrics = new Metrics();
  const noteSync = metrics.durations(
    "synod_wal_fsync_duration_seconds",
    "Waits of the log for its disk",
    SYNC_BUCKETS_SECONDS,
  );
  const disk = timedDisk(systemDisk, systemClock, noteSync);
  const wal = new WriteAheadLog({ directory: config.dataDir, identity, expectExisting, disk });
  const contents = await wal.open();
  const log = opened(wal, contents);
  undo.push(() => log.close());
  const isUsed = contents.records.length > 0 || contents.snapshot !== undefined;
  // Who is alone votes, too, but meets nobody.
  memory.begin(isUsed && peerAddresses.size > 1);
  undo.push(() => memory.close());
  const peerListener = await listenHttp(
    (_, response) => {
      answerJson(response, UPGRADE_REQUIRED, { detail: "this port is for other coordinators" });
    },
    config.peerListen,
    { tls: config.tls?.server },
  );
  undo.push(() => peerListener.close(0));
  const { storageId } = contents;
  const { clusterSecret: secret, tls } = config;
  const common = { clusterId, self, secret, tls, random: systemRandom, logger };
  const peers = new SocketPeers({
    ...common,
    ...{ storageId, memory, peers: formatted(peerAddresses), server: peerListener.server, onFatal },
  });
  const links = new SocketParticipants({ ...common, participants: formatted(participants) });
  const node = createNode(options, log, peers, links);
  const http = await serveClients(options, node, links, metrics, undo);
  await node.start();
  undo.splice(-1, 0, () => node.stop());
  peers.start(() => node.replica.holds);
  links.start();
  undo.splice(-1, 0, () => {
    links.stop();
    peers.stop();
  });
  logger.info(
    { http: http.port, peers: peerListener.port, records: contents.records.length },
    "up",
  );
  return http.port;
}

function formatted<Key extends NodeId | ShardId>(
  addresses: ReadonlyMap<Key, Address>,
): ReadonlyMap<Key, string> {
  return new Map([...addresses].map(([key, address]) => [key, formatAddress(address)]));
}

/**
 * The log was opened to learn the disk's name before the node exists; the node gets what was found. Whoever stops first
 * closes it.
 */
function opened(log: LogStore, contents: LogContents): LogStore {
  let closed: Promise<void> | undefined;
  let found: LogContents | undefined = contents;
  return {
    open: () => {
      assert(found !== undefined, "the log is opened once");
      const first = found;
      // The records are many, and nobody needs them once the node has its state.
      found = undefined;
      return Promise.resolve(first);
    },
    append: (records) => log.append(records),
    saveSnapshot: (slot, chunks) => log.saveSnapshot(slot, chunks),
    keepSnapshots: (slots) => log.keepSnapshots(slots),
    readSnapshotChunk: (slot, index) => log.readSnapshotChunk(slot, index),
    close: () => (closed ??= log.close()),
  };
}

function createNode(
  { config, logger, onFatal, failpoint, ledgerOptions, snapshots }: CoordinatorOptions,
  log: LogStore,
  peers: SocketPeers,
  links: SocketParticipants,
): CoordinatorNode {
  return createCoordinatorNode({
    ...{ clusterId: config.clusterId, ...consensusSettings(config), log, peers, links },
    ...{ clock: systemClock, random: systemRandom, logger, onFatal, failpoint },
    maxOpenPerClient: config.maxOpenPerClient,
    ...(ledgerOptions !== undefined && { ledgerOptions }),
    ...(snapshots !== undefined && { snapshots }),
  });
}

async function serveClients(
  { config, logger, onFatal }: CoordinatorOptions,
  node: CoordinatorNode,
  links: SocketParticipants,
  metrics: Metrics,
  undo: Undo[],
): Promise<HttpListener> {
  const { leaderWaitMs, maxInFlight, drainTimeoutMs, coordinators } = config;
  const { clients, statements, clusterSecret: secret, tls } = config;
  const forwarder = createForwarder(maxInFlight, secret, tls);
  const gate = new Gate({ clients, secret, tls, clock: systemClock });
  const { gateway } = node;
  const errors = new Map<ErrorCode, number>();
  measureCoordinator(metrics, { node, links, errors, clock: systemClock });
  let draining = false;
  const handle = createApi({
    ...{ self: config.nodeId, coordinators, gateway, links, clock: systemClock, logger },
    ...{
      gate,
      statements,
      leaderWaitMs,
      maxInFlight,
      onFatal,
      forward: forwarder.forward,
      metrics,
    },
    onError: (code) => {
      errors.set(code, (errors.get(code) ?? 0) + 1);
    },
    isDraining: () => draining,
  });
  const listener = await listenHttp(handle, config.httpListen, { tls: tls?.server });
  undo.push(async () => {
    draining = true;
    await listener.close(drainTimeoutMs);
    await forwarder.close();
  });
  return listener;
}
