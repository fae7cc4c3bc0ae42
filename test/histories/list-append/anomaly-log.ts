/** Collects anomalies by name, counts them all and keeps the first ones: a broken store breaks every transaction. */
import { CYCLE_NAMES, nameOf, type Anomaly, type AnomalyName } from "./anomaly.ts";

/** Of each name, forbidden and allowed ones apart; the rest is counted. */
const MAX_KEPT = 20;

export interface JudgedAnomaly {
  readonly anomaly: Anomaly;
  readonly isForbidden: boolean;
}

export interface AnomalyCount {
  readonly name: AnomalyName;
  readonly forbidden: number;
  readonly allowed: number;
}

const ORDER: readonly AnomalyName[] = [
  ...(["incompatible order", "duplicate append", "unknown value", "internal"] as const),
  ...(["G1a", "G1b", "stale read", "fractured read", "lost update"] as const),
  ...CYCLE_NAMES,
];

export class AnomalyLog {
  readonly #isForbidden: (anomaly: Anomaly) => boolean;
  readonly #kept: JudgedAnomaly[] = [];
  readonly #counts = new Map<AnomalyName, { forbidden: number; allowed: number }>();

  constructor(isForbidden: (anomaly: Anomaly) => boolean) {
    this.#isForbidden = isForbidden;
  }

  add(anomaly: Anomaly): void {
    const isForbidden = this.#isForbidden(anomaly);
    const name = nameOf(anomaly);
    const count = this.#counts.get(name) ?? { forbidden: 0, allowed: 0 };
    count[isForbidden ? "forbidden" : "allowed"] += 1;
    this.#counts.set(name, count);
    if (count[isForbidden ? "forbidden" : "allowed"] <= MAX_KEPT) {
      this.#kept.push({ anomaly, isForbidden });
    }
  }

  /** Forbidden ones first, then in the order of names. */
  kept(): readonly JudgedAnomaly[] {
    const rank = ({ anomaly, isForbidden }: JudgedAnomaly): number =>
      ORDER.indexOf(nameOf(anomaly)) + (isForbidden ? 0 : ORDER.length);
    return [...this.#kept].sort((one, other) => rank(one) - rank(other));
  }

  counts(): readonly AnomalyCount[] {
    return ORDER.flatMap((name) => {
      const count = this.#counts.get(name);
      return count === undefined ? [] : [{ name, ...count }];
    });
  }
}
