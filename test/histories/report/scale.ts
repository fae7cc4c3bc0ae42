/** Axes: where values lie, and which of them are named. */

export interface Scale {
  /** 0 at the beginning of the axis, 1 at its end; what is beyond is put there. */
  place(value: number): number;
  readonly ticks: readonly number[];
}

const STEPS = [1, 2, 5, 10];
const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600];
const MAX_TIME_TICKS = 12;
const VALUE_TICKS = 4;

/** From 0 to a round number. */
export function linearScale(most: number): Scale {
  const rough = Math.max(most, 1) / VALUE_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (STEPS.find((it) => it * power >= rough) ?? 10);
  const count = Math.max(1, Math.ceil(most / step));
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step);
  return { ticks, place: (value) => within(value / (count * step)) };
}

/** Whole decades. */
export function logarithmicScale(least: number, most: number): Scale {
  const low = Math.floor(Math.log10(least));
  const high = Math.max(low + 1, Math.ceil(Math.log10(most)));
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return {
    ticks,
    place: (value) => (value <= 0 ? 0 : within((Math.log10(value) - low) / (high - low))),
  };
}

export function timeScale(endMs: number): Scale {
  const seconds = endMs / 1_000;
  const hours = Math.ceil(seconds / 3_600 / MAX_TIME_TICKS);
  const step = TIME_STEPS_S.find((it) => seconds / it <= MAX_TIME_TICKS) ?? 3_600 * hours;
  const count = Math.floor(seconds / step);
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step * 1_000);
  return { ticks, place: (value) => within(value / endMs) };
}

function within(share: number): number {
  return Math.min(1, Math.max(0, share));
}
