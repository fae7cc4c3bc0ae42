/**
 * A client of interactive transactions: it runs what others ask for at once statement by statement, tries things under
 * savepoints that it takes back, walks away now and then, and asks for its commit until it knows what became of it. It
 * believes what it is told, and asks again to see that it is told the same. When the faults are over it begins nothing and goes
 * on with nothing, but a commit that it has asked for: a quorum must come to rest although some nodes never answer.
 */
import type { InteractiveGateway } from "../../../coordinator/transactions/gateway.ts";
import type { AskedStep, Step } from "../../../coordinator/transactions/interactive/machine.ts";
import type { Operation, TransactionResponse } from "../../../shared/model/api.ts";
import { parseTransactionId, type ShardId, type TransactionId } from "../../../shared/model/ids.ts";
import { BeginRequest, CommitBody } from "../../../shared/model/interactive.ts";
import { demand, Violation } from "../checkers/violation.ts";
import type { ClientOptions } from "./client.ts";
import type { Call, Verdict } from "./history.ts";
import type { Ask, InteractiveApi, Said } from "./interactive-api.ts";
import { move } from "./statements.ts";

export type InteractiveClientOptions = Omit<ClientOptions, "api"> & {
  readonly api: InteractiveApi;
};

type Lesson = Said<unknown> | { readonly kind: "lost" };

const WALKS_AWAY_CHANCE = 0.15;
const TRIES_CHANCE = 0.3;
const SNAPSHOT_CHANCE = 0.3;
const ASKS_AGAIN_CHANCE = 0.3;
const MAX_PAUSE_MS = 150;
const CALL_TIMEOUT_MS = 2_000;
/** A step is asked for so often, and a transaction begun so often, before it is given up. */
const MAX_ATTEMPTS = 8;
/** What was not begun for want of room, or of a leader: the same step may be asked for again. */
const COME_AGAIN = new Set(["overloaded", "no-quorum", "draining", "shard-unavailable"]);

export class InteractiveClient {
  readonly #options: InteractiveClientOptions;

  constructor(options: InteractiveClientOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { name, random, knobs, workload, history, tally, trace, isStopping } = this.#options;
    for (let number = 1; ; number += 1) {
      await this.#pause(random.exponential(knobs.meanThinkMs));
      if (isStopping()) return;
      const planned = workload.next(`${name}-${number}`);
      const call: Call = { ...planned, submission: { ...planned.submission, idempotency: null } };
      history.begin(call);
      this.#options.prepareMarks(call);
      const verdict = await this.#carryOut(call);
      call.verdict = verdict;
      tally.count(`interactive verdict ${verdict}`);
      trace.line(name, `${call.name} is ${verdict}`);
    }
  }

  async #carryOut(call: Call): Promise<Verdict> {
    const id = await this.#begin(call);
    if (id === undefined) return "refused";
    const { random, isStopping } = this.#options;
    let seq = 0;
    for (const operation of call.submission.request.operations) {
      if (isStopping()) return "aborted";
      if (random.chance(TRIES_CHANCE)) {
        const after = await this.#tryAndGoBack(call, id, seq, operation);
        if (after === undefined) return "aborted";
        seq = after;
      }
      seq += 1;
      if ((await this.#step(call, id, seq, statement(operation))) !== "ran") return "aborted";
      if (random.chance(WALKS_AWAY_CHANCE / 4)) return this.#walkAway(call, id);
    }
    return random.chance(WALKS_AWAY_CHANCE) ? this.#walkAway(call, id) : this.#commit(call, id);
  }

  async #begin(call: Call): Promise<TransactionId | undefined> {
    const { random, isStopping } = this.#options;
    const shards = [...new Set(call.submission.request.operations.map(({ shard }) => shard))];
    const request = BeginRequest.parse({
      ...(random.chance(SNAPSHOT_CHANCE) && { isolation: "snapshot", shards }),
      idleTimeoutMs: random.pick([200, 1_000, 5_000]),
      timeoutMs: random.pick([1_000, 5_000, 20_000]),
    });
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const lesson = await this.#ask(call, "begins", "harmless", (to) => to.begin(request));
      if (lesson.kind === "said") {
        return parseTransactionId((lesson.answer as { readonly id: string }).id);
      }
      if (isStopping()) return undefined;
      await this.#pause(random.between(0, MAX_PAUSE_MS));
    }
    return undefined;
  }

  /** The last seq; undefined when the transaction is over. */
  async #tryAndGoBack(
    call: Call,
    id: TransactionId,
    before: number,
    { shard }: Operation,
  ): Promise<number | undefined> {
    const { random, tally } = this.#options;
    const name = random.pick(["s", "t"]);
    if ((await this.#step(call, id, before + 1, { kind: "savepoint", name })) !== "ran") {
      return undefined;
    }
    const change = random.chance(0.5) ? -1_000_000 : 1;
    const tried = await this.#step(call, id, before + 2, statement(move(shard, "item0", change)));
    if (tried === "over") return undefined;
    tally.count(`tried under a savepoint: ${tried}`);
    const back = await this.#step(call, id, before + 3, { kind: "rollbackTo", name });
    return back === "ran" ? before + 3 : undefined;
  }

  /** `failed`: under a savepoint. `over`: rolled back, or given up. */
  async #step(
    call: Call,
    id: TransactionId,
    seq: number,
    step: Step,
  ): Promise<"ran" | "failed" | "over"> {
    const { random, isStopping } = this.#options;
    const asked: AskedStep = { seq, step, fingerprint: JSON.stringify(step) };
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const lesson = await this.#ask(call, `step ${seq}`, "sameTransaction", (to) =>
        to.step(id, asked),
      );
      if (lesson.kind === "said") return "ran";
      if (lesson.kind === "failed") {
        const { code, outcome, message } = lesson.error;
        if (code === "deadlock") this.#options.tally.count("interactive step: deadlock");
        if (outcome === "aborted") return "over";
        if (code === "sequence-conflict" || code === "already-committed") {
          throw new Violation("honest errors", `${call.name} in turn: ${code}, ${message}`);
        }
        if (outcome === "not_started" && !COME_AGAIN.has(code)) return "failed";
      }
      if (isStopping()) return "over";
      await this.#pause(random.between(0, MAX_PAUSE_MS));
    }
    return "over";
  }

  /** Its commit is never asked for: whatever happens, it must never commit. */
  async #walkAway(call: Call, id: TransactionId): Promise<Verdict> {
    const { random } = this.#options;
    if (random.chance(0.5)) {
      const lesson = await this.#ask(call, "rolls back", "sameTransaction", (to) =>
        to.rollBack(id),
      );
      const isCommitted = lesson.kind === "failed" && lesson.error.outcome === "committed";
      demand(!isCommitted, "honest errors", () => `${call.name} never asked for its commit`);
    }
    return "aborted";
  }

  async #commit(call: Call, id: TransactionId): Promise<Verdict> {
    const { random, isStopping } = this.#options;
    for (;;) {
      const verdict = await this.#askForCommit(call, id);
      if (verdict !== undefined) {
        if (random.chance(ASKS_AGAIN_CHANCE) && !isStopping())
          await this.#askAgain(call, id, verdict);
        return verdict;
      }
      await this.#pause(random.between(0, MAX_PAUSE_MS));
    }
  }

  /** Undefined while nobody says for certain. */
  async #askForCommit(call: Call, id: TransactionId): Promise<"committed" | "aborted" | undefined> {
    const { random, history } = this.#options;
    const { waitFor } = call.submission.request;
    const terms = CommitBody.parse({ waitFor, timeoutMs: random.pick([100, 500, 2_000]) });
    const lesson = await this.#ask<TransactionResponse>(
      call,
      "commits",
      "sameTransaction",
      (to) => to.commit(id, terms),
      (response) => {
        history.ended(call, { kind: "committed", answer: { response, replayed: false } });
      },
    );
    if (lesson.kind === "said") return "committed";
    const isAborted = lesson.kind === "failed" && lesson.error.outcome === "aborted";
    return isAborted ? "aborted" : undefined;
  }

  /** What only read is known to be committed as long as its leader is. */
  async #askAgain(call: Call, id: TransactionId, verdict: "committed" | "aborted"): Promise<void> {
    if (call.writes.length === 0) return;
    const again = await this.#askForCommit(call, id);
    const isSame = again === undefined || again === verdict;
    demand(isSame, "same outcome", () => `${call.name} is ${verdict}, then ${again ?? ""}`);
    const lesson = await this.#ask(call, "rolls back", "sameTransaction", (to) => to.rollBack(id));
    const told = lesson.kind === "said" ? "aborted" : undefined;
    demand(
      verdict === "aborted" || told === undefined,
      "same outcome",
      () => `${call.name} is committed, then rolled back`,
    );
  }

  async #ask<Answer>(
    call: Call,
    what: string,
    repetition: Ask<Answer>["repetition"],
    run: (gateway: InteractiveGateway) => Promise<Answer>,
    told: (answer: Answer) => void = () => undefined,
  ): Promise<Lesson> {
    const { name, random, hosts, api } = this.#options;
    call.attempts += 1;
    const timeoutMs = CALL_TIMEOUT_MS;
    const heard = await api.ask(name, random.pick(hosts), {
      ...{ call, what, run, told, timeoutMs, repetition },
    });
    const lesson: Lesson = heard.kind === "answered" ? heard.value : { kind: "lost" };
    const isDenied = lesson.kind === "failed" && lesson.error.code === "not-found";
    demand(!isDenied, "honest errors", () => `${call.name} was begun, and is not found`);
    return lesson;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.scheduler.after(delayMs, undefined, resolve);
    });
  }
}

function statement({ shard, sql, params, expect }: Operation): Step {
  const operation = { sql, params, index: 0 };
  return {
    kind: "operation",
    shard: shard as ShardId,
    operation: expect === undefined ? operation : { ...operation, expect },
  };
}
