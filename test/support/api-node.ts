/** A coordinator's HTTP face on a free port, over a gateway kept in memory: the twin of the heart behind the port. */
import { Gate } from "../../coordinator/api/access/gate.ts";
import { Statements } from "../../coordinator/api/access/statements.ts";
import { createApi } from "../../coordinator/api/server.ts";
import { createForwarder } from "../../coordinator/api/forwarding.ts";
import {
  type InteractiveGateway,
  NotLeader,
  type NodeView,
  type Submission,
  type SubmissionAnswer,
  type TransactionGateway,
} from "../../coordinator/transactions/gateway.ts";
import { ownedId, type Owner } from "../../coordinator/transactions/owner.ts";
import type {
  OperationResult,
  ReadRequest,
  TransactionResponse,
  TransactionStatus,
} from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { ListAnswer, ListRequest } from "../../shared/model/listing.ts";
import {
  ballot,
  clusterId,
  nodeId,
  shardId,
  slot,
  transactionId,
  type NodeId,
  type ShardId,
  type TransactionId,
} from "../../shared/model/ids.ts";
import { type BranchOutcome, type OutcomeInquiry } from "../../shared/model/inquiry.ts";
import { PROTOCOL_VERSION, type ParticipantHello } from "../../shared/model/protocol.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import type { ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import { listenHttp, type HttpListener } from "../../shared/runtime/http.ts";
import { loadSqlParser } from "../../shared/runtime/sql-statement.ts";
import { wholeId } from "./ids.ts";

const FIRST_BALLOT = ballot(1, nodeId(1));

/** What several nodes agree on: who leads, and what committed. */
export class TwinGroup {
  leader: NodeId | undefined = nodeId(1);
  readonly submissions: Submission[] = [];
  /** Of the transactions that were begun. */
  readonly ids: TransactionId[] = [wholeId("1-1-1")];
  readonly answers = new Map<string, { fingerprint: string; response: TransactionResponse }>();
  readonly outcomes = new Map<string, BranchOutcome>();
  /** What was asked of interactive transactions, in order. */
  readonly interactiveCalls: unknown[] = [];
  /** For whom interactive transactions were begun. */
  readonly begunFor: (string | undefined)[] = [];
  /** Runs inside the leader, before it answers one of them. */
  beforeInteractiveAnswer: (name: unknown) => void | Promise<void> = () => undefined;
  /** Runs inside the leader's submit, before the transaction commits. */
  duringSubmit: () => void | Promise<void> = () => undefined;
  /** Runs when it has committed, before the answer. */
  beforeAnswer: () => void | Promise<void> = () => undefined;
  /** Runs when a node begins to wait for a leader. */
  onAwaited: () => void = () => undefined;
}

export const TWIN_BALLOT = ballot(7, nodeId(1));

class TwinGateway implements TransactionGateway {
  readonly #group: TwinGroup;
  readonly #self: NodeId;

  constructor(group: TwinGroup, self: NodeId) {
    this.#group = group;
    this.#self = self;
  }

  #newId(sequence: number, owner: Owner | undefined): TransactionId {
    const random = { token: () => "abcdefghi", integer: () => 0 };
    const make = (tail: string): TransactionId => transactionId(FIRST_BALLOT, sequence, tail);
    const id = ownedId(owner, random, make);
    this.#group.ids.push(id);
    return id;
  }

  async submit(submission: Submission): Promise<SubmissionAnswer> {
    this.#assertLeads();
    this.#group.submissions.push(submission);
    const { idempotency } = submission;
    const first = idempotency === null ? undefined : this.#group.answers.get(idempotency.key);
    if (first !== undefined) {
      if (first.fingerprint === idempotency?.fingerprint) {
        return { response: first.response, replayed: true };
      }
      throw new SynodError("idempotency-key-reused", "the key was used with another body");
    }
    await this.#group.duringSubmit();
    const response: TransactionResponse = {
      id: this.#newId(this.#group.submissions.length, submission.owner),
      outcome: "committed",
      results: submission.request.operations.map(() => ({ rowCount: 1, rows: [] })),
      pendingShards: [],
    };
    if (idempotency !== null) {
      const { key, fingerprint } = idempotency;
      this.#group.answers.set(key, { fingerprint, response });
    }
    await this.#group.beforeAnswer();
    return { response, replayed: false };
  }

  async read({ operations }: ReadRequest): Promise<readonly OperationResult[]> {
    await Promise.resolve();
    this.#assertLeads();
    return operations.map(() => ({ rowCount: 1, rows: [] }));
  }

  async status(id: TransactionStatus["id"]): Promise<TransactionStatus> {
    await Promise.resolve();
    this.#assertLeads();
    return { id, state: "committed", pendingShards: [] };
  }

  async list(
    { state = "active", limit }: ListRequest,
    isVisible: (id: TransactionId) => boolean,
  ): Promise<ListAnswer> {
    await Promise.resolve();
    this.#assertLeads();
    const transactions = this.#group.ids.filter(isVisible).map((id) => {
      return { id, state, shards: ["s1"], pendingShards: [], decidedAt: null };
    });
    return { transactions, nextCursor: `${limit}` };
  }

  outcomes({ branches }: OutcomeInquiry): { outcomes: BranchOutcome[] } {
    const knows = this.#group.leader === this.#self;
    return {
      outcomes: branches.map(({ carrierId }) => {
        const outcome = knows ? this.#group.outcomes.get(carrierId) : undefined;
        return outcome ?? { kind: "undecided" };
      }),
    };
  }

  view(): NodeView {
    const { leader, submissions } = this.#group;
    return {
      role: leader === this.#self ? "leader" : "follower",
      leader,
      ballot: TWIN_BALLOT,
      serving: leader !== undefined,
      chosenUpTo: slot(submissions.length),
      appliedUpTo: slot(submissions.length),
      inFlight: 0,
      incidents: [],
    };
  }

  async awaitLeader(timeoutMs: number): Promise<boolean> {
    const untilMs = performance.now() + timeoutMs;
    this.#group.onAwaited();
    while (this.#group.leader === undefined && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.#group.leader !== undefined;
  }

  /** Says yes to everything, at its leader. */
  get interactive(): InteractiveGateway {
    const take = async (...call: readonly unknown[]): Promise<void> => {
      await Promise.resolve();
      this.#assertLeads();
      this.#group.interactiveCalls.push(call);
      await this.#group.beforeInteractiveAnswer(call[0]);
    };
    return {
      begin: async (request, owner) => {
        await take("begin", request);
        this.#group.begunFor.push(owner?.client);
        const { idleTimeoutMs, timeoutMs } = request;
        return {
          id: this.#newId(9, owner),
          expiresAt: new Date(0).toISOString(),
          idleTimeoutMs,
          timeoutMs,
        };
      },
      step: async (id, asked) => {
        await take("step", id, asked);
        return { response: { seq: asked.seq }, replayed: false };
      },
      commit: async (id, terms) => {
        await take("commit", id, terms);
        return { id, outcome: "committed", results: [], pendingShards: [] };
      },
      rollBack: async (id) => {
        await take("rollBack", id);
        return { id, outcome: "aborted" };
      },
    };
  }

  #assertLeads(): void {
    const { leader } = this.#group;
    if (leader === this.#self) return;
    throw new NotLeader(leader === undefined ? undefined : { node: leader, ballot: TWIN_BALLOT });
  }
}

export interface ApiNode {
  readonly url: string;
  readonly fatal: unknown[];
  drain(): void;
  /** Cuts every connection, at once. */
  kill(): Promise<void>;
}

export interface ApiNodeOptions {
  readonly group: TwinGroup;
  readonly id?: number;
  readonly coordinators?: Map<NodeId, string>;
  readonly leaderWaitMs?: number;
  readonly maxInFlight?: number;
  readonly gateway?: TransactionGateway;
  /** Default: everybody may do everything. */
  readonly gate?: Gate;
  readonly secret?: ClusterSecret;
  readonly statements?: Statements;
}

const SHARDS = ["s1", "s2"].map(shardId);
const CLUSTER = clusterId("twin");

export async function startApiNode(options: ApiNodeOptions): Promise<ApiNode> {
  await loadSqlParser();
  const self = nodeId(options.id ?? 1);
  const coordinators = options.coordinators ?? new Map<NodeId, string>();
  const forwarder = createForwarder(64, options.secret);
  const fatal: unknown[] = [];
  let draining = false;
  const handle = createApi({
    self,
    coordinators,
    gateway: options.gateway ?? new TwinGateway(options.group, self),
    links: { shards: SHARDS, connected: helloOf },
    forward: forwarder.forward,
    gate: options.gate ?? new Gate({ clients: undefined, secret: undefined, clock: systemClock }),
    statements: options.statements ?? new Statements(),
    clock: systemClock,
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    leaderWaitMs: options.leaderWaitMs ?? 1_000,
    maxInFlight: options.maxInFlight ?? 64,
    isDraining: () => draining,
    metrics: { contentType: "text/plain", text: () => Promise.resolve("") },
    onError: ignore,
    onFatal: (error) => {
      fatal.push(error);
    },
  });
  const listener: HttpListener = await listenHttp(handle, { host: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${listener.port}`;
  coordinators.set(self, url);
  const kill = async (): Promise<void> => {
    await forwarder.close();
    await listener.close(0);
  };
  running.push(kill);
  return {
    url,
    fatal,
    drain: () => {
      draining = true;
    },
    kill,
  };
}

const running: (() => Promise<void>)[] = [];

/** For `afterEach`: nothing of this file outlives its test. */
export async function stopApiNodes(): Promise<void> {
  await Promise.all(running.splice(0).map((kill) => kill()));
}

function ignore(): void {
  // These tests look at answers, not at logs.
}

function helloOf(shard: ShardId): ParticipantHello | undefined {
  if (shard !== "s1") return undefined;
  return { protocol: PROTOCOL_VERSION, clusterId: CLUSTER, shard, bootId: "boot", maxBranches: 8 };
}

export const TRANSFER = {
  operations: [
    { shard: "s1", sql: "update a set b = b - $1 where id = $2", params: [10, "alice"] },
    { shard: "s2", sql: "update a set b = b + $1 where id = $2", params: [10, "bob"] },
  ],
};

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return read(
    await fetch(`${url}/v1/transactions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
}

export async function get(url: string, path: string): Promise<Answer> {
  return read(await fetch(url + path));
}

async function read(response: Response): Promise<Answer> {
  const body = (await response.json()) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, body };
}
