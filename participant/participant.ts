/**
 * The composition root of a participant: builds the adapters, hands them to the node that knows only ports, starts them in
 * order and stops them in reverse.
 *
 *   listener ─▶ database checked and migrated ─▶ node ─▶ coordinators welcome
 *
 * A database that does not answer is waited for: the participant is alive, but not ready. One that answers wrongly (another
 * shard's, or set up so that branches would be lost) ends the process.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "../shared/model/ports.ts";
import { systemClock, systemRandom } from "../shared/runtime/clock.ts";
import { type HttpListener, listenHttp } from "../shared/runtime/http.ts";
import { checkStatement, loadSqlParser } from "../shared/runtime/sql-statement.ts";
import { serveCoordinators } from "./api/coordinators.ts";
import { createHttpInquirer } from "./api/http-inquirer.ts";
import { measureParticipant } from "./api/metrics.ts";
import { createParticipantApi } from "./api/server.ts";
import type { ParticipantConfig } from "./config.ts";
import {
  createParticipantNode,
  DEFAULT_PARTICIPANT_LIMITS,
  type ParticipantNode,
} from "./participant-node.ts";
import { keepReceiptsFresh, RECEIPT_LIMITS, type ReceiptRetention } from "./receipt-retention.ts";
import { OTHER_CONNECTIONS, PostgresShard } from "./shard/postgres-shard.ts";
import { preflight, PreflightFailed } from "./shard/preflight.ts";

export interface ParticipantOptions {
  readonly config: ParticipantConfig;
  readonly logger: Logger;
  /** The participant can no longer be trusted, or its database is the wrong one: the process must end. */
  readonly onFatal: (error: unknown) => void;
}

export interface Participant {
  readonly port: number;
  /** Takes no more branches, lets those there are end within the drain timeout, then takes everything down. */
  stop(): Promise<void>;
}

const STARTING = "the participant waits for its database";
const STOPPING = "the participant is shutting down";
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2_000;

/** Rejects when the port cannot be had. Does not wait for the database. */
export async function startParticipant(options: ParticipantOptions): Promise<Participant> {
  const { config, logger, onFatal } = options;
  for (const warning of config.warnings) logger.warn({}, warning);
  await loadSqlParser();
  const shard = createShard(options);
  const urls = [...config.coordinators.values()];
  const first = systemRandom.integer(urls.length);
  const inquirer = createHttpInquirer(urls, first, config.clusterSecret, config.tls);
  const node = createParticipantNode({
    ...{ clusterId: config.clusterId, shardId: config.shardId, bootId: randomUUID() },
    ...{ shard, inquirer, clock: systemClock, random: systemRandom, logger },
    limits: { ...DEFAULT_PARTICIPANT_LIMITS, ...config },
  });
  let closed: string | undefined = STARTING;
  const unready = async (): Promise<string | undefined> => closed ?? (await shard.trouble());
  const metrics = measureParticipant({ node, receipts: () => retention?.survey });
  const { tls, clusterSecret: secret } = config;
  const api = createParticipantApi({ node, unready, metrics, proofs: { secret, tls } });
  const http = await listenHttp(api, config.listen, { tls: tls?.server });
  const turnAway = serveCoordinators({
    ...{ server: http.server, secret, tls, node, onFatal, logger },
    closed: () => closed,
  });
  let retention: ReceiptRetention | undefined;
  bringUp(options, shard, node, () => closed === STOPPING).then((isUp) => {
    if (!isUp) return;
    closed = undefined;
    const limits = { ...RECEIPT_LIMITS, maxAgeMs: config.receiptRetentionMs };
    retention = keepReceiptsFresh(shard, limits, systemClock, logger);
    logger.info({ port: http.port }, "up");
  }, onFatal);
  return {
    port: http.port,
    stop: async () => {
      closed = STOPPING;
      retention?.stop();
      await node.stop();
      turnAway();
      await takeDown(http, shard);
      inquirer.close();
    },
  };
}

function createShard({ config, logger }: ParticipantOptions): PostgresShard {
  const { clusterId, shardId, maxBranches, finishingConnections, connectTimeoutMs } = config;
  return new PostgresShard({
    ...{ clusterId, shardId, finishingConnections, connectTimeoutMs, checkStatement, logger },
    url: config.databaseUrl,
    branchConnections: maxBranches,
    clock: systemClock,
  });
}

/** Tries until the database is as it must be. False when the participant was stopped meanwhile. */
async function bringUp(
  { config, logger }: ParticipantOptions,
  shard: PostgresShard,
  node: ParticipantNode,
  isStopping: () => boolean,
): Promise<boolean> {
  const { clusterId, shardId, maxBranches, finishingConnections } = config;
  const connections = maxBranches + finishingConnections + OTHER_CONNECTIONS;
  for (let waitMs = FIRST_RETRY_MS; !isStopping(); waitMs = Math.min(2 * waitMs, LAST_RETRY_MS)) {
    try {
      await preflight(shard.controlKnex, { clusterId, shardId, maxBranches, connections });
      await shard.terminatePredecessors();
      await shard.recallForgottenKeys();
      await shard.warmUp();
      if (isStopping()) return false;
      node.start();
      return true;
    } catch (error) {
      if (error instanceof PreflightFailed) throw error;
      logger.warn({ error, retryInMs: waitMs }, "the database is not usable yet");
    }
    await pause(waitMs);
  }
  return false;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    systemClock.after(ms, resolve);
  });
}

async function takeDown(http: HttpListener, shard: PostgresShard): Promise<void> {
  await http.close(0);
  await shard.close();
}
