/**
 * One cluster under load and faults, from its start to its report: `scenario` puts one nemesis into a load of its own, `strike`
 * into a load that runs.
 */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { awaitFinished } from "../../demo/transfers/prepared.ts";
import type { InDoubtSummary } from "../histories/audit/in-doubt.ts";
import type { CheckerVerdict, ReportInput } from "../histories/report/input.ts";
import { figuresOf } from "../histories/report/figures.ts";
import { nemesesOf } from "../histories/report/nemeses.ts";
import { writeReport } from "../histories/write-report.ts";
import { eventually } from "../support/wait.ts";
import { DecisionLogs } from "./audit/decision-logs.ts";
import { judge, type Judged } from "./audit/judges.ts";
import type { Cluster } from "./cluster.ts";
import { preparedGids } from "./database.ts";
import { awaitOldBranchesFinished } from "./in-doubt.ts";
import { Bank } from "./load/bank.ts";
import { startLoad, type Load } from "./load/clients.ts";
import { Counters } from "./load/counters.ts";
import { Lists } from "./load/lists.ts";
import { createTables } from "./load/tables.ts";
import type { Workload } from "./load/task.ts";
import type { Fault, Nemesis } from "./nemesis.ts";
import { type RecordedFault, Recording } from "./recording.ts";
import { startSampling, type Sampling } from "./sampling.ts";

const BEFORE_MS = 2_000;
const MEANWHILE_MS = 6_000;
const AFTER_MS = 5_000;
const FIRST_COMMIT_DEADLINE_MS = 60_000;
/** A transaction is two events, and at most two slots. */
const EVENTS_PER_COLLECTION = 3_000;
/** How long branches that are never finished are waited for, before they are called that. */
const FINISHED_DEADLINE_MS = 30_000;

/** What one strike of a nemesis showed. */
export interface Strike {
  readonly nemesis: string;
  readonly fault: Omit<Fault, "heal">;
  /** From the heal until the last branch that had been prepared before it was gone; null when one is still there. */
  readonly inDoubtAfterHealMs: number | null;
}

/** What one scenario showed. */
export interface Evidence extends Strike {
  readonly committed: number;
  readonly aborted: number;
  /** Without an outcome, however often it was asked for, and why. */
  readonly unclear: readonly string[];
  readonly committedAfterHeal: number;
  /** Of any client, without a commit of anybody's. */
  readonly longestPauseMs: number;
  /** The longest that one client waited for a commit. */
  readonly longestWaitMs: number;
  readonly inDoubt: InDoubtSummary;
  readonly judged: Judged;
}

export class Run {
  readonly cluster: Cluster;
  readonly directory: string;
  readonly recording: Recording;
  readonly #bank: Bank;
  readonly #logs: DecisionLogs;
  readonly #workloads: readonly Workload[];
  readonly #sampling: Sampling;
  readonly #startedAt = new Date();
  #eventsCollected = 0;

  private constructor(cluster: Cluster, directory: string, recording: Recording, bank: Bank) {
    this.cluster = cluster;
    this.directory = directory;
    this.recording = recording;
    this.#bank = bank;
    this.#logs = new DecisionLogs(cluster);
    const shards = cluster.databases.map(({ shard }) => shard);
    const [lists, counters] = [new Lists(shards), new Counters(shards)];
    this.#workloads = [
      ...[bank.oneShots, bank.oneShots, bank.oneShots, bank.interactive],
      ...[lists, lists, counters, counters],
    ];
    this.#sampling = startSampling(cluster, recording);
  }

  /** `directory` is for the report, and for traces when something is wrong. */
  static async open(cluster: Cluster, directory: string): Promise<Run> {
    const recording = new Recording();
    const bank = await Bank.open(cluster.databases, recording);
    for (const database of cluster.databases) await createTables(database);
    return new Run(cluster, directory, recording, bank);
  }

  startLoad(): Load {
    const urls = this.cluster.coordinators.map(({ url }) => url);
    return startLoad(urls, this.#workloads, this.recording);
  }

  /** Load before, while and after the nemesis has its way; resolves when all is quiet and judged. */
  async scenario(nemesis: Nemesis): Promise<Evidence> {
    const from = this.#mark();
    const load = this.startLoad();
    let strike: Strike;
    let healedAtMs: number;
    try {
      await this.#awaitCommit(from.events);
      await setTimeout(BEFORE_MS);
      strike = await this.strike(nemesis, MEANWHILE_MS);
      healedAtMs = this.recording.nowMs();
      await setTimeout(AFTER_MS - Math.min(AFTER_MS, strike.inDoubtAfterHealMs ?? AFTER_MS));
    } finally {
      await load.stop();
    }
    return this.#evidence(strike, from, healedAtMs);
  }

  /** Resolves when the nemesis is healed and no branch from before that is left, or one is there for too long. */
  async strike(nemesis: Nemesis, meanwhileMs: number): Promise<Strike> {
    const fromMs = this.recording.nowMs();
    const fromSample = this.recording.samples.length;
    const { heal, ...fault } = await nemesis.inject(this.cluster);
    const recorded: RecordedFault = {
      ...{ kind: fault.instead ?? nemesis.name, target: fault.victim, fromMs },
      untilMs: null,
    };
    this.recording.faults.push(recorded);
    try {
      await setTimeout(meanwhileMs);
    } finally {
      await heal();
      recorded.untilMs = this.recording.nowMs();
    }
    const inDoubtAfterHealMs = await awaitOldBranchesFinished(
      this.recording,
      this.cluster.databases.length,
      fromSample,
    );
    return { nemesis: recorded.kind, fault, inDoubtAfterHealMs };
  }

  /** Judges everything since the start; nothing may run. */
  async judge(): Promise<Judged> {
    await this.#awaitQuiet();
    await this.#logs.collect();
    const logs = this.#logs.logs(this.recording.names);
    const judged = await judge(this.cluster, this.recording, this.#bank, logs);
    if (logs.some(({ isComplete }) => isComplete)) return judged;
    const findings = ["none of them was seen from its first slot on"];
    const missing = { checker: "decision logs", holds: false, findings };
    return { ...judged, verdicts: [...judged.verdicts, missing] };
  }

  /** As `judge`, by what was read of the logs so far: to read them takes longer than all the rest. */
  async #judgeSoFar(): Promise<Judged> {
    await this.#awaitQuiet();
    await this.keepUpWithLogs();
    const logs = this.#logs.logsSoFar(this.recording.names);
    return judge(this.cluster, this.recording, this.#bank, logs);
  }

  /** Logs lose their beginning to snapshots, some thousand slots behind: to be called now and then, at any time. */
  async keepUpWithLogs(): Promise<void> {
    const { length } = this.recording.events;
    if (length < this.#eventsCollected + EVENTS_PER_COLLECTION) return;
    this.#eventsCollected = length;
    await this.#logs.collect();
  }

  #awaitQuiet(): Promise<void> {
    return awaitFinished(
      () => Promise.all(this.cluster.databases.map(({ url }) => preparedGids(url))),
      FINISHED_DEADLINE_MS,
    );
  }

  /** Writes the report, and traces if asked for; ends the cluster. */
  async close(
    facts: ReportInput["facts"],
    verdicts: readonly CheckerVerdict[],
    keepTraces: boolean,
  ): Promise<void> {
    await this.#sampling.stop();
    const { events, faults, leaders, samples } = this.recording;
    const { backend, description } = this.cluster;
    await writeReport(this.directory, {
      title: `Synod under faults: ${backend}`,
      facts: [["what ran", description], ["began", this.#startedAt.toISOString()], ...facts],
      ...{ events, faults, leaders, samples, verdicts },
    });
    if (keepTraces) await this.cluster.keepTraces(join(this.directory, "traces"));
    await this.cluster.remove();
  }

  #mark(): Mark {
    const { events, faults, samples } = this.recording;
    return { events: events.length, faults: faults.length, samples: samples.length };
  }

  async #awaitCommit(after: number): Promise<void> {
    let seen = after;
    const isCommitted = (): boolean => {
      const fresh = this.recording.events.slice(seen);
      seen += fresh.length;
      return fresh.some(({ event }) => event === "ok");
    };
    await eventually("a first commit", isCommitted, FIRST_COMMIT_DEADLINE_MS);
  }

  async #evidence(strike: Strike, from: Mark, healedAtMs: number): Promise<Evidence> {
    const judged = await this.#judgeSoFar();
    const events = this.recording.events.slice(from.events);
    const faults = this.recording.faults.slice(from.faults);
    const samples = this.recording.samples.slice(from.samples);
    const input = { title: "", facts: [], events, faults, leaders: [], samples, verdicts: [] };
    const figures = figuresOf(input);
    const [nemesis] = nemesesOf(faults, figures);
    if (nemesis === undefined) throw new Error("a strike is recorded");
    return {
      ...strike,
      ...{ committed: figures.committed, aborted: figures.aborted },
      unclear: events.flatMap((it) =>
        it.event === "info" ? [`${it.transaction}: ${it.reason}`] : [],
      ),
      committedAfterHeal: events.filter((it) => it.event === "ok" && it.atMs > healedAtMs).length,
      longestPauseMs: nemesis.longestPauseMs,
      longestWaitMs: figures.latenciesMs.at(-1) ?? 0,
      ...{ inDoubt: nemesis.inDoubt, judged },
    };
  }
}

interface Mark {
  readonly events: number;
  readonly faults: number;
  readonly samples: number;
}
