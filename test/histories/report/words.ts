/** Numbers as people read them. */

export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function duration(ms: number | null): string {
  if (ms === null) return "–";
  if (ms >= 1_000) return `${trim(ms / 1_000)} s`;
  return `${trim(ms)} ms`;
}

export function amount(value: number | null): string {
  return value === null ? "–" : trim(value);
}

function trim(value: number): string {
  return String(Number(value.toFixed(value < 10 ? 2 : 1)));
}
