/** What a soak must show: a bounded data directory, at every look, and memory that does not grow with what was decided. */

/** One look at the group; lists have one entry a process. */
export interface Checkpoint {
  readonly decided: number;
  readonly seconds: number;
  readonly residentMiB: readonly number[];
  readonly directoryMiB: readonly number[];
  readonly answers: readonly number[];
}

export interface SoakBar {
  readonly bar: string;
  readonly value: number;
  readonly met: boolean;
}

const MAX_DIRECTORY_MIB = 256;
const MAX_GROWTH = 1.5;

export function judgeSoak(checkpoints: readonly Checkpoint[]): {
  readonly bars: readonly SoakBar[];
} {
  const [first] = checkpoints;
  const last = checkpoints.at(-1);
  if (first === undefined || last === undefined)
    throw new Error("a soak has a first look and a last");
  const directory = Math.max(...checkpoints.flatMap(({ directoryMiB }) => directoryMiB));
  const growth = Math.max(
    ...last.residentMiB.map((resident, index) => resident / (first.residentMiB[index] ?? NaN)),
  );
  return {
    bars: [
      {
        bar: `MiB in the largest data directory (below ${MAX_DIRECTORY_MIB})`,
        ...{ value: directory, met: directory < MAX_DIRECTORY_MIB },
      },
      {
        bar: `resident memory after ${last.decided}, of that after ${first.decided} (at most ${MAX_GROWTH})`,
        ...{ value: growth, met: growth <= MAX_GROWTH },
      },
    ],
  };
}
