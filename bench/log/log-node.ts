/**
 * One process of the replicated log under measurement: the production replica, write-ahead log, sockets and ledger,
 * without clients and shards. A proposer does what a carrier does when all its votes are in: it submits a commit and
 * waits until that is applied here. What was applied is logged as complete, many at a time, as delivery does.
 */
import { randomUUID } from "node:crypto";
import type { Server } from "node:http";
import { consensusSettings } from "../../coordinator/consensus-settings.ts";
import { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import type { ChosenSlot } from "../../coordinator/paxos/message.ts";
import { Replica, type ReplicaEvents } from "../../coordinator/replication/replica.ts";
import { decodeBatch, encodeCommand } from "../../coordinator/transactions/command.ts";
import type { Command, CommitCommand } from "../../coordinator/transactions/command.ts";
import {
  DEFAULT_LEDGER_OPTIONS,
  Ledger,
  type Applied,
} from "../../coordinator/transactions/ledger/ledger.ts";
import { PeersFile } from "../../coordinator/transport/peers-file.ts";
import { SocketPeers } from "../../coordinator/transport/socket-peers.ts";
import { globalId } from "../../shared/model/global-id.ts";
import { carrierId, clusterId, nodeId, shardId, transactionId } from "../../shared/model/ids.ts";
import type { Ballot, CarrierId, Xid } from "../../shared/model/ids.ts";
import type { Cancel } from "../../shared/model/ports.ts";
import { systemClock, systemRandom } from "../../shared/runtime/clock.ts";
import { createLogger } from "../../shared/runtime/logger.ts";
import type { Look, StartRequest } from "./protocol.ts";

export const HOST = "127.0.0.1";
const CLUSTER = clusterId("bench");
const SHARDS = [shardId("s1"), shardId("s2")];
const HEARTBEAT_INTERVAL_MS = 75;
/** Outlasts any hiccup of a busy machine. */
const ELECTION_TIMEOUT_MS = 3_000;
/** As delivery.ts gathers them. */
const COMPLETION_INTERVAL_MS = 100;
const COMPLETIONS_PER_COMMAND = 1_024;
/** As long as the digest of a client's body. */
const FINGERPRINT = "0123456789abcdef".repeat(4);
const TAIL_LENGTH = 16;
const FIRST_XID = 1_000_000;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class LogNode {
  readonly #ledger: Ledger;
  readonly #replica: Replica;
  readonly #peers: SocketPeers;
  readonly #memory: PeersFile;
  readonly #waiting = new Map<CarrierId, Waiting>();
  #completed: CarrierId[] = [];
  #elected: Ballot | undefined;
  /** The ballot whose barrier is applied here. */
  #leadsUnder: Ballot | undefined;
  #sequence = 0;
  #committed = 0;
  #appliedUpTo = 0;
  #snapshots = 0;
  #cancelCompletions: Cancel = () => undefined;
  #stepMs: number | undefined;
  #virtualMs = 0;

  constructor(options: StartRequest, server: Server) {
    const self = nodeId(options.nodeId);
    const { retentionMs } = options;
    this.#ledger = new Ledger({
      ...DEFAULT_LEDGER_OPTIONS,
      answers: { ...DEFAULT_LEDGER_OPTIONS.answers, retentionMs },
      decisionRetentionMs: retentionMs,
    });
    const peers = new Map(
      options.ports.map(([node, { peer }]) => [nodeId(node), `${HOST}:${peer}`]),
    );
    const { directory } = options;
    this.#memory = new PeersFile({ directory, clock: systemClock, onFatal: fail });
    this.#peers = new SocketPeers({
      ...{ clusterId: CLUSTER, self, peers, server, secret: undefined, random: systemRandom },
      storageId: `disk-${self}`,
      logger: createLogger({ nodeId: self }, "warn"),
      memory: this.#memory,
      onFatal: fail,
    });
    const { paxos, tickIntervalMs, snapshots } = consensusSettings({
      ...{ nodeId: self, members: [...peers.keys()] },
      ...{ heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS, electionTimeoutMs: ELECTION_TIMEOUT_MS },
    });
    this.#replica = new Replica({
      ...{ config: paxos, tickIntervalMs, snapshots },
      log: new WriteAheadLog({
        directory,
        identity: { clusterId: CLUSTER, nodeId: self },
      }),
      ...{ peers: this.#peers, clock: systemClock, random: systemRandom },
      events: this.#replicaEvents(),
    });
  }

  #replicaEvents(): ReplicaEvents {
    return {
      apply: (chosen) => {
        this.#apply(chosen);
      },
      restore: (slot, chunks) => {
        this.#ledger.restore(chunks);
        this.#appliedUpTo = slot;
      },
      image: () => this.#ledger.snapshot(),
      leads: (ballot) => {
        this.#elected = ballot;
        this.#submit({ kind: "barrier", ballot, atMs: this.#nowMs() }, ballot);
      },
      stoppedLeading: () => {
        this.#stoppedLeading();
      },
      snapshotTaken: () => {
        this.#snapshots += 1;
      },
      snapshotAbandoned: () => undefined,
      // The process ends with it: figures of a group that lost a member mean nothing.
      snapshotDamaged: fail,
      failed: fail,
    };
  }

  async start(): Promise<void> {
    await this.#replica.start();
    this.#peers.start(() => this.#replica.holds);
    const logCompletions = (): void => {
      this.#logCompletions();
      this.#cancelCompletions = systemClock.after(COMPLETION_INTERVAL_MS, logCompletions);
    };
    logCompletions();
  }

  async stop(): Promise<void> {
    this.#cancelCompletions();
    this.#peers.stop();
    await this.#memory.close();
    await this.#replica.stop();
  }

  look(): Look {
    return {
      serves: this.#leadsUnder !== undefined,
      appliedUpTo: this.#appliedUpTo,
      committed: this.#committed,
      incomplete: this.#ledger.incompleteCount,
      answers: this.#ledger.answerCount,
      snapshots: this.#snapshots,
      residentBytes: process.memoryUsage.rss(),
    };
  }

  /** From now on every command is so much later than the one before, whatever the clock says. */
  passTime(stepMs: number): void {
    this.#stepMs = stepMs;
    this.#virtualMs = Math.max(this.#virtualMs, Date.now());
  }

  /** Resolves when one new transaction is committed in the ledger of this process. */
  decide(): Promise<void> {
    const ballot = this.#leadsUnder;
    if (ballot === undefined) return Promise.reject(new Error("this process does not lead"));
    const command = this.#newCommit(ballot);
    return new Promise((resolve, reject) => {
      this.#waiting.set(command.carrierId, { resolve, reject });
      this.#submit(command, ballot);
    });
  }

  #newCommit(ballot: Ballot): CommitCommand {
    this.#sequence += 2;
    const carrier = carrierId(ballot, this.#sequence - 1);
    return {
      kind: "commit",
      carrierId: carrier,
      ballot,
      branches: SHARDS.map((shard) => ({
        ...{ shard, gid: globalId(CLUSTER, carrier, shard) },
        xid: String(FIRST_XID + this.#sequence) as Xid,
      })),
      members: [
        {
          transactionId: transactionId(ballot, this.#sequence, "t".repeat(TAIL_LENGTH)),
          idempotency: { key: randomUUID(), fingerprint: FINGERPRINT },
          results: SHARDS.map(() => ({ rowCount: 1, rows: [] })),
        },
      ],
      atMs: this.#nowMs(),
    };
  }

  #nowMs(): number {
    if (this.#stepMs === undefined) return Date.now();
    this.#virtualMs += this.#stepMs;
    return this.#virtualMs;
  }

  #submit(command: Command, ballot: Ballot): void {
    if (!this.#replica.submit(encodeCommand(command), ballot)) {
      throw new Error("a command was refused");
    }
  }

  #apply({ slot, value }: ChosenSlot): void {
    this.#appliedUpTo = slot;
    for (const command of decodeBatch(value)) this.#applied(this.#ledger.apply(command));
  }

  #applied(applied: Applied): void {
    if (applied.kind === "barrier" && applied.ballot === this.#elected) {
      this.#leadsUnder = applied.ballot;
    }
    if (applied.kind !== "committed") return;
    this.#committed += 1;
    const { carrierId: id } = applied.carrier;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#completed.push(id);
    waiting.resolve();
  }

  #logCompletions(): void {
    const ballot = this.#leadsUnder;
    while (ballot !== undefined && this.#completed.length > 0) {
      const carrierIds = this.#completed.splice(0, COMPLETIONS_PER_COMMAND);
      this.#submit({ kind: "complete", carrierIds, atMs: this.#nowMs() }, ballot);
    }
  }

  #stoppedLeading(): void {
    this.#elected = undefined;
    this.#leadsUnder = undefined;
    const error = new Error("leadership changed under load: the figures mean nothing");
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function fail(error: unknown): never {
  throw error;
}
