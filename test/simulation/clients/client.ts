/**
 * One client: a call after the other, each brought to its end before the next. It believes what it is told: `committed` and
 * `aborted` are final, `not_started` speaks of its own attempt only, anything else makes it ask again under the same key.
 */
import { ERRORS } from "../../../shared/model/errors.ts";
import type { TransactionId } from "../../../shared/model/ids.ts";
import type { Tally } from "../checkers/tally.ts";
import { demand, Violation } from "../checkers/violation.ts";
import type { WorkloadKnobs } from "../knobs.ts";
import type { CoordinatorHost } from "../world/coordinator-host.ts";
import type { Scheduler } from "../world/scheduler.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import type { Trace } from "../world/trace.ts";
import type { Call, Ending, History, Verdict } from "./history.ts";
import { transactionOf, type Attempt, type SimulatedApi } from "./simulated-api.ts";
import type { Workload } from "./workload.ts";

export interface ClientOptions {
  readonly name: string;
  readonly knobs: WorkloadKnobs;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly random: SeededRandom;
  readonly hosts: readonly CoordinatorHost[];
  readonly api: SimulatedApi;
  readonly history: History;
  readonly tally: Tally;
  readonly workload: Workload;
  /** Makes the databases ready to count how often a call is carried out. */
  readonly prepareMarks: (call: Call) => void;
  /** No new calls once this is true; open ones go on. */
  readonly isStopping: () => boolean;
}

/** What one attempt taught its client. `lost`: it may have been carried out. */
type Lesson =
  | {
      readonly kind: "definite";
      readonly verdict: "committed" | "aborted";
      readonly id: TransactionId | undefined;
    }
  | { readonly kind: "notStarted" | "lost"; readonly why: string };

const MAX_BACKOFF_MS = 150;
/** A call of which no attempt has begun is given up after so many. */
const MAX_REFUSALS = 6;
const ASKS_STATUS_CHANCE = 0.2;
const EXTRA_PATIENCE_MS = 3_000;

export class Client {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { name, random, knobs, workload, history, tally, trace, isStopping } = this.#options;
    for (let number = 1; ; number += 1) {
      await this.#pause(random.exponential(knobs.meanThinkMs));
      if (isStopping()) return;
      const call = workload.next(`${name}-${number}`);
      history.begin(call);
      this.#options.prepareMarks(call);
      trace.line(name, `${call.name}: ${describe(call)}`);
      const verdict = await this.#resolve(call);
      call.verdict = verdict;
      tally.count(`verdict ${verdict}`);
      trace.line(name, `${call.name} is ${verdict}`);
    }
  }

  async #resolve(call: Call): Promise<Verdict> {
    const { random, isStopping, trace, name, hosts } = this.#options;
    const hasKey = call.submission.idempotency !== null;
    let isUncertain = false;
    let host = random.pick(hosts);
    for (let refusals = 0; ; host = random.pick(hosts.filter((other) => other !== host))) {
      const lesson = await this.#attempt(call, host);
      if (lesson.kind === "definite") {
        const again = lesson.verdict === "aborted" && hasKey && !isStopping() && random.chance(0.2);
        if (random.chance(ASKS_STATUS_CHANCE)) await this.#checkStatus(call, lesson);
        if (!again) return lesson.verdict;
        isUncertain = false;
      } else if (lesson.kind === "lost") {
        if (!hasKey) return "unknown";
        isUncertain = true;
      } else {
        refusals += 1;
        if (!isUncertain && refusals >= MAX_REFUSALS) return "refused";
      }
      trace.line(name, `${call.name} again, after ${lesson.kind}`);
      await this.#pause(random.between(0, MAX_BACKOFF_MS));
    }
  }

  #attempt(call: Call, host: CoordinatorHost): Promise<Lesson> {
    const { name, random, api, scheduler, knobs } = this.#options;
    const { timeoutMs } = call.submission.request;
    const attempt: Attempt = { call, abandoned: false };
    call.attempts += 1;
    const patienceMs = random.chance(knobs.impatientChance)
      ? random.between(5, timeoutMs)
      : timeoutMs + EXTRA_PATIENCE_MS;
    return new Promise((resolve) => {
      const cancelPatience = scheduler.after(patienceMs, undefined, () => {
        attempt.abandoned = true;
        resolve({ kind: "lost", why: "no answer in time" });
      });
      void api.post(name, host, attempt).then((answer) => {
        cancelPatience();
        if (answer.kind === "notReached") resolve({ kind: "notStarted", why: "not reached" });
        else if (answer.kind === "lost" || typeof answer.value === "string") {
          resolve({ kind: "lost", why: "connection lost" });
        } else resolve(lessonOf(call, answer.value));
      });
    });
  }

  /** Nobody says the opposite of what this client was told. */
  async #checkStatus(
    { name: call, writes }: Call,
    { id, verdict }: Lesson & { readonly kind: "definite" },
  ): Promise<void> {
    const { name, random, hosts, api, trace, tally } = this.#options;
    // What only read leaves no trace, and counts as aborted afterwards.
    if (id === undefined || writes.length === 0) return;
    const answer = await api.askStatus(name, random.pick(hosts), id);
    if (answer.kind !== "answered" || answer.value === undefined) return;
    const { state } = answer.value;
    tally.count(`status of ${verdict}: ${state}`);
    trace.line(name, `${call}, ${id}, is ${state}, they say`);
    const contradicts = verdict === "committed" ? state === "aborted" : state === "committed";
    demand(!contradicts, "honest status", () => `${call} is ${verdict}, but ${id} is ${state}`);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.scheduler.after(delayMs, undefined, resolve);
    });
  }
}

function lessonOf(call: Call, ending: Ending): Lesson {
  const id = transactionOf(ending);
  if (ending.kind === "committed") return { kind: "definite", verdict: "committed", id };
  const { code, outcome, message } = ending.error;
  const why = `${code}: ${message}`;
  switch (outcome) {
    case "aborted":
      return { kind: "definite", verdict: "aborted", id };
    case "unknown":
      if (!ERRORS[code].retryable) throw new Violation("honest errors", `${call.name}: ${why}`);
      return { kind: "lost", why };
    case "not_started":
      if (!ERRORS[code].retryable) throw new Violation("honest errors", `${call.name}: ${why}`);
      return { kind: "notStarted", why };
    case "committed":
      throw new Violation("honest errors", `${call.name} failed as committed: ${why}`);
  }
}

function describe({ submission: { request, idempotency } }: Call): string {
  const operations = request.operations.map(
    ({ shard, sql, params }) => `${shard} ${sql.split(" ")[0] ?? ""} ${JSON.stringify(params)}`,
  );
  return `${idempotency === null ? "no key" : "key"}, ${request.timeoutMs} ms: ${operations.join("; ")}`;
}
