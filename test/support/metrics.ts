/** Prometheus' text format, as far as tests read it. */
import { z } from "zod";

export interface MetricsRead {
  /** The samples of that name whose labels include these, summed up. */
  readonly of: (name: string, labels?: Readonly<Record<string, string>>) => number;
  readonly names: ReadonlySet<string>;
  /** Name and labels of each sample. */
  readonly labels: readonly Readonly<Record<string, string>>[];
}

const SAMPLE = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i;
/** `NaN` is a value too: of the event loop's delay, say, before there was one. */
const NOT_A_NUMBER = /^nan$/i;
const Value = z.coerce.number();
const valueFrom = (text = ""): number => (NOT_A_NUMBER.test(text) ? NaN : Value.parse(text));

export async function readMetrics(url: string): Promise<MetricsRead> {
  const response = await fetch(`${url}/metrics`);
  if (response.status !== 200) throw new Error(`/metrics answers ${response.status}`);
  const lines = (await response.text()).split("\n").filter((line) => /^[^#]/.test(line));
  const samples = lines.map((line) => {
    const match = SAMPLE.exec(line);
    if (match === null) throw new Error(`no sample: ${line}`);
    const [, name = "", labels = "", value] = match;
    return { name, labels: labelsFrom(labels), value: valueFrom(value) };
  });
  return {
    of: (name, labels = {}) =>
      samples
        .filter((sample) => sample.name === name)
        .filter((sample) => Object.entries(labels).every(([key, it]) => sample.labels[key] === it))
        .reduce((sum, { value }) => sum + value, 0),
    names: new Set(samples.map(({ name }) => name)),
    labels: samples.map((sample) => sample.labels),
  };
}

function labelsFrom(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...text.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = "", value = ""]) => [
      name,
      value,
    ]),
  );
}
