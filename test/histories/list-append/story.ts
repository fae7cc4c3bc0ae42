/** An anomaly as it is told to somebody who has to believe it: who did what, and which two facts cannot both be. */
import { unreachable } from "../../../shared/model/assert.ts";
import type { Operation } from "../history/event.ts";
import type { Transaction } from "../history/transactions.ts";
import type { JudgedAnomaly } from "./anomaly-log.ts";
import { nameOf, type Anomaly, type Step } from "./anomaly.ts";
import type { Key } from "./keys.ts";

/** Of a list, from its end. */
const SHOWN_VALUES = 8;

export function tellStory(
  { anomaly, isForbidden }: JudgedAnomaly,
  transactions: readonly Transaction[],
  keys: readonly Key[],
): string {
  const teller = new Teller(transactions, keys);
  const head = `${nameOf(anomaly)} (${isForbidden ? "FORBIDDEN" : "allowed here"})`;
  const who = [...new Set(whoIsIn(anomaly))].filter((index) => index >= 0);
  return [head, ...teller.tell(anomaly), ...who.map((index) => teller.introduce(index))].join("\n");
}

function whoIsIn(anomaly: Anomaly): readonly number[] {
  switch (anomaly.kind) {
    case "cycle":
      return anomaly.steps.map(({ from }) => from);
    case "incompatible order":
      return anomaly.readers;
    case "duplicate append":
    case "unknown value":
    case "internal":
      return [anomaly.reader];
    case "G1a":
    case "G1b":
    case "stale read":
    case "fractured read":
      return [anomaly.writer, anomaly.reader];
    case "lost update":
      return [anomaly.first, anomaly.second];
    default:
      return unreachable(anomaly);
  }
}

class Teller {
  readonly #transactions: readonly Transaction[];
  readonly #keys: readonly Key[];

  constructor(transactions: readonly Transaction[], keys: readonly Key[]) {
    this.#transactions = transactions;
    this.#keys = keys;
  }

  tell(it: Anomaly): readonly string[] {
    switch (it.kind) {
      case "cycle":
        return this.#tellCycle(it.steps);
      case "incompatible order":
        return it.readers.map(
          (reader, at) =>
            `  ${this.#name(reader)} read ${list(it.lists[at]!)} from ${this.#key(it.key)}`,
        );
      case "duplicate append":
        return [`  ${this.#name(it.reader)} read ${it.value} twice from ${this.#key(it.key)}`];
      case "unknown value":
        return [
          `  ${this.#name(it.reader)} read ${it.value} from ${this.#key(it.key)}, which nobody appended`,
        ];
      case "internal":
        return [
          `  ${this.#name(it.reader)} had appended ${list(it.own)} to ${this.#key(it.key)} and then read ${list(it.list)}`,
        ];
      case "G1a":
        return [`  ${this.#saw(it)}, although ${this.#name(it.writer)} was aborted`];
      case "G1b":
        return [`  ${this.#saw(it)} without what that appended to it later`];
      case "stale read":
        return [
          `  ${this.#name(it.writer)} was acknowledged as applied before ${this.#name(it.reader)} began,`,
          `  which did not see its ${it.value} in ${this.#key(it.key)}`,
        ];
      case "fractured read":
        return [
          `  ${this.#name(it.reader)} saw ${this.#name(it.writer)} in ${this.#key(it.seenKey)} and not in ${this.#key(it.missedKey)}`,
        ];
      case "lost update":
        return [
          `  both read the same ${it.read} values of ${this.#key(it.key)} and appended to it, ${this.#name(it.first)} first`,
        ];
      default:
        return unreachable(it);
    }
  }

  introduce(index: number): string {
    const it = this.#transactions[index]!;
    const end = it.outcome === "unclear" ? "?" : `${it.endMs.toFixed(1)} ms`;
    const did = it.operations.map(describe).join(", ");
    return `    ${it.name} (process ${it.process}, ${it.startMs.toFixed(1)} ms to ${end}, ${it.outcome}): ${did}`;
  }

  #tellCycle(steps: readonly Step[]): readonly string[] {
    const first = this.#name(steps[0]!.from);
    return [
      ...steps.map(
        (step) => `  ${this.#name(step.from)} → ${this.#name(step.to)}: ${this.#reason(step)}`,
      ),
      `  so ${first} would have to come before itself`,
    ];
  }

  #reason({ from, to, why }: Step): string {
    const [before, after] = [this.#name(from), this.#name(to)];
    switch (why.kind) {
      case "writeWrite":
        return `writeWrite, ${after} appended to ${this.#key(why.key)} behind ${before}`;
      case "writeRead":
        return `writeRead, ${after} read from ${this.#key(why.key)} what ${before} had appended`;
      case "readWrite":
        return `readWrite, ${before} read ${this.#key(why.key)} (${why.view}) without what ${after} appended`;
      case "realTime":
        return `realTime, ${after} was invoked after ${before} was acknowledged`;
      default:
        return unreachable(why);
    }
  }

  #saw(it: { reader: number; writer: number; key: number; value: number }): string {
    return `${this.#name(it.reader)} read ${it.value} of ${this.#name(it.writer)} from ${this.#key(it.key)}`;
  }

  #name(index: number): string {
    return this.#transactions[index]?.name ?? "?";
  }

  #key(index: number): string {
    const key = this.#keys[index]!;
    return `${key.shard}/${key.name}`;
  }
}

function list(values: readonly number[]): string {
  const shown = values.slice(-SHOWN_VALUES).join(" ");
  return values.length > SHOWN_VALUES ? `[… ${shown}]` : `[${shown}]`;
}

function describe(operation: Operation): string {
  const place = `${operation.shard}/${operation.key}`;
  switch (operation.kind) {
    case "append":
      return `append ${operation.value} to ${place}`;
    case "readList":
      return `read ${place}${operation.list === null ? "" : ` = ${list(operation.list)}`}`;
    case "writeRegister":
      return `write ${operation.value} to ${place}`;
    case "readRegister":
      return `read ${place}${operation.value === null ? "" : ` = ${operation.value}`}`;
    default:
      return unreachable(operation);
  }
}
