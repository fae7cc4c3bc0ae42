/** The client as its users hold it: what can be asked, and the bounds of it. */
import { ClusterAnswer, StatusAnswer } from "../shared/model/answers.ts";
import { ListAnswer, type ListRequest } from "../shared/model/listing.ts";
import type { z } from "zod";
import { Deadline, DEFAULT_DEADLINE_MS } from "./backoff.ts";
import { Caller, plainCall, type Call } from "./caller.ts";
import { Endpoints } from "./endpoints.ts";
import { UnavailableError } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import type { Hooks } from "./hooks.ts";
import { InteractiveCalls } from "./interactive-calls.ts";
import { runInteractive, type BeginOptions, type Closure } from "./interactive.ts";
import { runTransaction, type TransactionOptions, type TransactionResult } from "./one-shot.ts";
import type { Operation } from "./operation.ts";
import { runRead, type ReadOptions, type ReadResult } from "./reads.ts";
import { TRANSACTIONS_PATH, transactionPath } from "./transaction-path.ts";

const DEFAULT_MAX_CONNECTIONS = 64;
const DEFAULT_MAX_IN_FLIGHT = 1_024;
const LOOK_SERVER_TIME_MS = 5_000;

export interface SynodOptions {
  /** Addresses of coordinators; any of them answers everything. */
  readonly endpoints: readonly string[];
  /** A bearer token. */
  readonly token?: string;
  /** PEM of the authority that the coordinators' certificates are of, trusted in place of those that Node knows. */
  readonly authority?: string;
  /** To each coordinator; more requests wait for a free one. Default 64. */
  readonly maxConnections?: number;
  /** Calls at once; more are refused here, with the code `client-overloaded`. Default 1024. */
  readonly maxInFlight?: number;
  readonly hooks?: Hooks;
}

export interface LookOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Ask this coordinator and no other. */
  readonly endpoint?: string;
}

export type ListOptions = LookOptions & Readonly<Partial<ListRequest>>;

export class Synod {
  /** Interactive transactions step by step, by their id. */
  readonly interactive: InteractiveCalls;
  readonly #caller: Caller;
  readonly #exchange: Exchange;
  readonly #hooks: Hooks;
  readonly #maxInFlight: number;
  #inFlight = 0;

  constructor(options: SynodOptions) {
    const { maxConnections = DEFAULT_MAX_CONNECTIONS, hooks = {} } = options;
    this.#maxInFlight = options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
    this.#hooks = hooks;
    this.#exchange = new Exchange(maxConnections, options);
    this.#caller = new Caller(new Endpoints(options.endpoints), this.#exchange, hooks);
    this.interactive = new InteractiveCalls(this.#caller);
  }

  /** All of it or nothing, in one request. */
  transaction(
    operations: readonly Operation[],
    options: TransactionOptions = {},
  ): Promise<TransactionResult> {
    return this.#admitted(() => runTransaction(this.#caller, operations, options));
  }

  /** Reads several shards: every transaction is in all of the results or in none. */
  read(operations: readonly Operation[], options: ReadOptions = {}): Promise<ReadResult> {
    return this.#admitted(() => runRead(this.#caller, operations, options));
  }

  /** Statement by statement; the closure is run again when it was aborted and a new attempt can help. */
  begin<Result>(closure: Closure<Result>, options: BeginOptions = {}): Promise<Result> {
    return this.#admitted(() => runInteractive(this.interactive, this.#hooks, closure, options));
  }

  async status(id: string, options: LookOptions = {}): Promise<z.infer<typeof StatusAnswer>> {
    return this.#look("status", transactionPath(id), StatusAnswer, options);
  }

  /** What is not finished, as the leader knows it: a page. */
  list(options: ListOptions = {}): Promise<ListAnswer> {
    const { state, limit, cursor } = options;
    const query = Object.entries({ state, limit, cursor }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)] as [string, string]],
    );
    const path = `${TRANSACTIONS_PATH}?${new URLSearchParams(query).toString()}`;
    return this.#look("list", path.replace(/\?$/, ""), ListAnswer, options);
  }

  /** The group and the shards, as one coordinator sees them. */
  cluster(options: LookOptions = {}): Promise<ClusterAnswer> {
    return this.#look("cluster", "/v1/cluster", ClusterAnswer, options);
  }

  /** Ends kept connections; calls that still run lose theirs. */
  close(): void {
    this.#exchange.close();
  }

  #look<Answer>(
    name: Call<Answer>["name"],
    path: string,
    schema: z.ZodType<Answer>,
    { deadlineMs = DEFAULT_DEADLINE_MS, signal, endpoint }: LookOptions,
  ): Promise<Answer> {
    const call: Call<Answer> = {
      ...plainCall(name, { method: "GET", path }, LOOK_SERVER_TIME_MS, schema),
      ...(endpoint !== undefined && { endpoint }),
    };
    return this.#admitted(() => this.#caller.run(call, new Deadline(deadlineMs, signal)));
  }

  async #admitted<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#inFlight >= this.#maxInFlight) {
      throw new UnavailableError(
        `this client has ${this.#maxInFlight} calls in flight already`,
        "client-overloaded",
        { outcome: "not_started", retryable: true },
      );
    }
    this.#inFlight += 1;
    try {
      return await run();
    } finally {
      this.#inFlight -= 1;
    }
  }
}
