/**
 * The answer of `GET /metrics`, in Prometheus' text format. Values are read when they are asked for, from what the parts keep
 * anyway, so that a transaction pays nothing for them; only durations are noted as they come.
 *
 * Labels take few values that are known beforehand: never an id, a key or anything else that a client chooses.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A single value without labels, or none for now. */
export type Reading = number | undefined | readonly Sample[];

export class Metrics {
  readonly #registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  gauge(name: string, help: string, read: () => Reading, labelNames: readonly string[] = []): void {
    new Gauge({
      ...{ name, help, labelNames, registers: [this.#registry] },
      collect() {
        this.reset();
        for (const { labels, value } of samplesOf(read())) this.set(labels, value);
      },
    });
  }

  /** `read` never goes down while the process lives. */
  counter(
    name: string,
    help: string,
    read: () => Reading,
    labelNames: readonly string[] = [],
  ): void {
    new Counter({
      ...{ name, help, labelNames, registers: [this.#registry] },
      collect() {
        this.reset();
        for (const { labels, value } of samplesOf(read())) this.inc(labels, value);
      },
    });
  }

  /** Returns how to note a duration. */
  durations(name: string, help: string, bucketsSeconds: number[]): (milliseconds: number) => void {
    const histogram = new Histogram({
      ...{ name, help, buckets: bucketsSeconds, registers: [this.#registry] },
    });
    return (milliseconds) => {
      histogram.observe(milliseconds / 1_000);
    };
  }
}

function samplesOf(reading: Reading): readonly Sample[] {
  if (reading === undefined) return [];
  return typeof reading === "number" ? [{ labels: {}, value: reading }] : reading;
}
