/**
 * The port to one Postgres database, on real connections. Six pools, so that no kind of work can starve another:
 *
 *   branches   one connection per open branch; many may wait for locks
 *   reads      one connection per session of one snapshot
 *   finishing  COMMIT PREPARED, ROLLBACK PREPARED
 *   receipts   knex: outcomes of one-phase transactions, which may wait for replication
 *   control    cancel, terminate, list, status: never waits for anything but the server's attention
 *   watching   who waits for whom: may take long just when much waits
 */
import type { Knex } from "knex";
import type pg from "pg";
import type { ClusterId, GlobalId, ShardId, TransactionId, Xid } from "../../shared/model/ids.ts";
import { LIMITS } from "../../shared/model/api.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import { createDatabasePool, createKnex } from "../../shared/runtime/database.ts";
import type { ReceiptLimits, ReceiptStore, ReceiptSurvey } from "../receipt-retention.ts";
import { ask, sqlstateBehind } from "./ask.ts";
import { BackendControl } from "./backend-control.ts";
import { Finisher } from "./finisher.ts";
import { LockWatch } from "./lock-watch.ts";
import { type CheckStatement, PostgresSession, type SessionTools } from "./postgres-session.ts";
import { deleteReceiptsUpTo, readKeysForgottenUpToMs, surveyReceipts } from "./receipt-deletion.ts";
import { findReceiptByKey, settleReceipt } from "./receipts.ts";
import { ServerPool } from "./server-pool.ts";
import { limitSettings } from "./session-steps.ts";
import {
  type FinishOutcome,
  type LockWait,
  type PreparedOnShard,
  READ_CONNECTIONS,
  type Receipt,
  type SessionOptions,
  type Shard,
  type ShardSession,
  type XidStatus,
} from "./shard.ts";
import { INVALID_PARAMETER_VALUE } from "./sqlstate.ts";
import { Repetitions } from "./statement-cache.ts";
import { widenXid } from "./xid.ts";

export interface PostgresShardOptions {
  readonly url: string;
  readonly clusterId: ClusterId;
  readonly shardId: ShardId;
  /** How many branches may be open at once. */
  readonly branchConnections: number;
  readonly finishingConnections: number;
  /** Bounds connecting, and waiting for a free connection. */
  readonly connectTimeoutMs: number;
  readonly checkStatement: CheckStatement;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RECEIPT_CONNECTIONS = 2;
const CONTROL_CONNECTIONS = 2;
const WATCHING_CONNECTIONS = 1;
/** All pools together, but for branches and finishing. */
export const OTHER_CONNECTIONS =
  READ_CONNECTIONS + RECEIPT_CONNECTIONS + CONTROL_CONNECTIONS + WATCHING_CONNECTIONS;

const BRANCH_APPLICATION = "synod-branch";
const READ_APPLICATION = "synod-reads";
const FINISHING_APPLICATION = "synod-finishing";
const RECEIPT_APPLICATION = "synod-receipts";

/** Opened before the first branch comes; more follow as they are needed. */
const WARM_BRANCH_CONNECTIONS = 16;
const WARM_READ_CONNECTIONS = 2;

/** What a lost participant may leave standing: the server rolls back by itself after this. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000;
/** How often the server looks whether the client of a running statement is still there. */
const CLIENT_CHECK_INTERVAL_MS = 2_000;
const OWN_STATEMENT_TIMEOUT_MS = 10_000;
const OWN_LOCK_TIMEOUT_MS = 5_000;
/** An older answer about waits is of no use. */
const WATCHING_DEADLINE_MS = 2_000;
/** A server that has not answered by then is taken for lost. */
const OWN_DEADLINE_MS = 12_000;

const LIST = `
  select gid, transaction::text as xid,
    pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text as reference
  from pg_catalog.pg_prepared_xacts
  where database = pg_catalog.current_database() and pg_catalog.starts_with(gid, $1)`;
const OWNER = "select cluster_id, shard_id from synod.identity";
const STATUS = "select pg_catalog.pg_xact_status($1::xid8) as status";

export class PostgresShard implements Shard, ReceiptStore {
  readonly #branches: ServerPool;
  readonly #reads: ServerPool;
  readonly #finishing: ServerPool;
  readonly #receiptPool: pg.Pool;
  readonly #controlPool: pg.Pool;
  readonly #watchingPool: pg.Pool;
  readonly #lockWatch: LockWatch;
  readonly #sessions = new Set<PostgresSession>();
  readonly #finisher: Finisher;
  readonly #control: BackendControl;
  readonly #tools: SessionTools;
  readonly #identity: { readonly clusterId: ClusterId; readonly shardId: ShardId };
  readonly #counts: Pick<PostgresShardOptions, "branchConnections" | "finishingConnections">;
  /** Over the control pool: for migrations and checks. */
  readonly controlKnex: Knex;
  readonly #receiptKnex: Knex;
  #keysForgottenUpToMs = 0;

  constructor(options: PostgresShardOptions) {
    const { url, clusterId, shardId, connectTimeoutMs, clock, logger, checkStatement } = options;
    this.#identity = { clusterId, shardId };
    const { branchConnections, finishingConnections } = options;
    this.#counts = { branchConnections, finishingConnections };
    const own = {
      statement_timeout: OWN_STATEMENT_TIMEOUT_MS,
      lock_timeout: OWN_LOCK_TIMEOUT_MS,
      client_connection_check_interval: CLIENT_CHECK_INTERVAL_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    };
    const pool = (applicationName: string, maxConnections: number) => ({
      url,
      applicationName,
      maxConnections,
      connectTimeoutMs,
      settings: own,
      onError: (error: Error) => {
        logger.warn({ error: error.message, applicationName }, "a database connection broke");
      },
    });
    const serverPool = (applicationName: string, connections: number, settings: object = {}) => {
      const poolOptions = pool(applicationName, connections);
      const all = { ...poolOptions, settings: { ...own, ...settings } };
      return new ServerPool(all, clusterId, shardId, clock);
    };
    const limits = limitSettings(LIMITS.defaultTimeoutMs);
    this.#branches = serverPool(BRANCH_APPLICATION, branchConnections, limits);
    this.#reads = serverPool(READ_APPLICATION, READ_CONNECTIONS, limits);
    this.#finishing = serverPool(FINISHING_APPLICATION, finishingConnections);
    this.#receiptPool = createDatabasePool({
      ...pool(RECEIPT_APPLICATION, RECEIPT_CONNECTIONS),
      queryTimeoutMs: OWN_DEADLINE_MS,
    });
    this.#controlPool = createDatabasePool({
      ...pool("synod-control", CONTROL_CONNECTIONS),
      queryTimeoutMs: OWN_DEADLINE_MS,
    });
    this.#watchingPool = createDatabasePool({
      ...pool("synod-watching", WATCHING_CONNECTIONS),
      queryTimeoutMs: WATCHING_DEADLINE_MS,
    });
    this.#lockWatch = new LockWatch(this.#watchingPool);
    this.#receiptKnex = createKnex(this.#receiptPool);
    this.controlKnex = createKnex(this.#controlPool);
    this.#finisher = new Finisher({
      pool: this.#finishing,
      connections: finishingConnections,
      deadlineMs: OWN_DEADLINE_MS,
    });
    this.#control = new BackendControl(this.#controlPool, logger);
    const repetitions = new Repetitions();
    this.#tools = { control: this.#control, repetitions, checkStatement, clock, logger };
  }

  async begin(options: SessionOptions): Promise<ShardSession> {
    const pool = options.isolation === "one snapshot" ? this.#reads : this.#branches;
    const { connection, release } = await pool.take();
    const ended = (isReusable: boolean): void => {
      this.#sessions.delete(session);
      release(isReusable);
    };
    const session = new PostgresSession(connection, ended, options, this.#tools);
    this.#sessions.add(session);
    return session;
  }

  lockWaits(runningForMs: number): Promise<readonly LockWait[]> {
    const beforeMs = this.#tools.clock.monotonicMs() - runningForMs;
    const isSlow = [...this.#sessions].some(({ runningSinceMs }) => runningSinceMs <= beforeMs);
    return isSlow ? this.#lockWatch.waits(this.#sessions) : Promise.resolve([]);
  }

  commitPrepared(gid: GlobalId): Promise<FinishOutcome> {
    return this.#finisher.finish("COMMIT PREPARED", gid);
  }

  rollbackPrepared(gid: GlobalId): Promise<FinishOutcome> {
    return this.#finisher.finish("ROLLBACK PREPARED", gid);
  }

  async listPrepared(prefix: string): Promise<readonly PreparedOnShard[]> {
    const rows = await ask(this.#controlPool, LIST, [prefix]);
    return rows.map(({ gid, xid, reference }) => {
      return { gid: gid as GlobalId, xid: widenXid(String(xid), String(reference)) };
    });
  }

  async xidStatus(xid: Xid): Promise<XidStatus> {
    try {
      const [row] = await ask(this.#controlPool, STATUS, [xid]);
      return (row?.["status"] ?? "forgotten") as XidStatus;
    } catch (error) {
      // "transaction ID … is in the future".
      if (sqlstateBehind(error) === INVALID_PARAMETER_VALUE) return "forgotten";
      throw error;
    }
  }

  /** What keeps the database from serving this shard now; undefined when nothing does. */
  async trouble(): Promise<string | undefined> {
    try {
      const [owner] = await ask(this.#controlPool, OWNER);
      const { clusterId, shardId } = this.#identity;
      const isOurs = owner?.["cluster_id"] === clusterId && owner["shard_id"] === shardId;
      return isOurs ? undefined : "the database belongs to another shard";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  fence(): Promise<void> {
    return this.#control.fence();
  }

  findReceiptByKey(key: string): Promise<Receipt | undefined> {
    return findReceiptByKey(this.#receiptPool, key);
  }

  settleReceipt(transactionId: TransactionId): Promise<Receipt | "forgotten"> {
    return settleReceipt(this.#receiptKnex, transactionId);
  }

  get keysForgottenUpToMs(): number {
    return this.#keysForgottenUpToMs;
  }

  /** Before the first `begin`: what earlier incarnations have forgotten. */
  async recallForgottenKeys(): Promise<void> {
    this.#forgetting(await readKeysForgottenUpToMs(this.#receiptKnex));
  }

  surveyReceipts(limits: ReceiptLimits): Promise<ReceiptSurvey> {
    return surveyReceipts(this.#receiptKnex, limits);
  }

  /** Up to `limit` receipts written up to then; resolves with how many. */
  deleteReceiptsUpTo(upTo: string, limit: number): Promise<number> {
    return deleteReceiptsUpTo(this.#receiptKnex, upTo, limit, (upToMs) => {
      this.#forgetting(upToMs);
    });
  }

  #forgetting(upToMs: number): void {
    this.#keysForgottenUpToMs = Math.max(this.#keysForgottenUpToMs, upToMs);
  }

  /** Ends the server processes of earlier incarnations; before the first `begin` of this one. */
  terminatePredecessors(): Promise<void> {
    return this.#control.terminatePredecessors([
      BRANCH_APPLICATION,
      READ_APPLICATION,
      FINISHING_APPLICATION,
      RECEIPT_APPLICATION,
    ]);
  }

  /** Opens the first connections: each costs the server a process and both sides a password check. */
  async warmUp(): Promise<void> {
    const { branchConnections, finishingConnections } = this.#counts;
    await this.#branches.warmUp(Math.min(branchConnections, WARM_BRANCH_CONNECTIONS));
    await this.#reads.warmUp(WARM_READ_CONNECTIONS);
    await this.#finishing.warmUp(finishingConnections);
    await this.#lockWatch.warmUp();
  }

  /** Resolves when every connection is closed; what runs is ended. */
  async close(): Promise<void> {
    await Promise.all([
      this.#branches.end(),
      this.#reads.end(),
      this.#finishing.end(),
      this.#receiptPool.end(),
      this.#controlPool.end(),
      this.#watchingPool.end(),
    ]);
  }
}
