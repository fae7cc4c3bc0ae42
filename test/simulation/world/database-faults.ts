/**
 * Hooks of a database: how long its round trips take, which connections break before, after or in the middle of an effect,
 * and which transactions fail silently before PREPARE.
 */
import type {
  MemoryHooks,
  MemoryPoint,
  MemoryVerdict,
} from "../../../participant/shard/memory-hooks.ts";
import type { Tally } from "../checkers/tally.ts";
import type { DatabaseKnobs } from "../knobs.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** What a scenario wants to happen the next time that an effect comes to this point. */
export interface ScriptedEffect {
  readonly delayMs: number;
  readonly verdict: MemoryVerdict;
}

const CAN_BE_LATE: readonly MemoryPoint[] = [
  "before prepare",
  "before commit",
  "before commitPrepared",
  "before rollbackPrepared",
];
const VERDICTS = {
  lose: "connection lost",
  late: "connection lost, done later",
  rollback: "rolled back in silence",
} as const;
const CALM_STATEMENT_MS = 0.2;

export class DatabaseFaults implements MemoryHooks {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #knobs: DatabaseKnobs;
  readonly #client: Incarnation;
  readonly #areOver: () => boolean;
  readonly #tally: Tally;
  readonly #scripted: Map<MemoryPoint, ScriptedEffect>;

  constructor(
    scheduler: Scheduler,
    random: SeededRandom,
    knobs: DatabaseKnobs,
    client: Incarnation,
    areOver: () => boolean,
    scripted: Map<MemoryPoint, ScriptedEffect>,
    tally: Tally,
  ) {
    this.#tally = tally;
    this.#scripted = scripted;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#knobs = knobs;
    this.#client = client;
    this.#areOver = areOver;
  }

  /** The server's doing: it takes its time whether or not the participant is alive. */
  hook(point: MemoryPoint): Promise<MemoryVerdict> {
    const scripted = this.#scripted.get(point);
    this.#scripted.delete(point);
    const delayMs = scripted?.delayMs ?? this.#delayMs(point);
    if (point.startsWith("before")) this.#client.effect(point);
    return new Promise((resolve) => {
      this.#scheduler.after(delayMs, undefined, () => {
        if (point.startsWith("after")) this.#client.effect(point);
        const verdict = scripted?.verdict ?? this.#verdict(point);
        if (verdict !== "ok") this.#tally.count(`fault: database, ${VERDICTS[verdict]}`);
        resolve(verdict);
      });
    });
  }

  #delayMs(point: MemoryPoint): number {
    if (this.#areOver()) return CALM_STATEMENT_MS / 2;
    const { meanStatementMs } = this.#knobs;
    return this.#random.exponential(
      point.startsWith("late") ? meanStatementMs * 20 : meanStatementMs / 2,
    );
  }

  #verdict(point: MemoryPoint): MemoryVerdict {
    if (this.#areOver() || point.startsWith("late")) return "ok";
    const { loseChance, lateChance, silentFailureChance } = this.#knobs;
    if (this.#random.chance(loseChance)) return "lose";
    if (CAN_BE_LATE.includes(point) && this.#random.chance(lateChance)) return "late";
    return point === "before prepare" && this.#random.chance(silentFailureChance)
      ? "rollback"
      : "ok";
  }
}
