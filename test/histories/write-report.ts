/** Puts a run into a directory: `report.html` to look at, `history.ndjson` to judge again. */
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { HistoryEvent } from "./history/event.ts";
import { encodeEvent } from "./history/ndjson.ts";
import type { ReportInput } from "./report/input.ts";
import { renderReport } from "./report/render-report.ts";

const EVENTS_PER_PIECE = 1_000;

export async function writeReport(directory: string, input: ReportInput): Promise<void> {
  await mkdir(directory, { recursive: true });
  await pipeline(
    Readable.from(piecesOf(input.events)),
    createWriteStream(join(directory, "history.ndjson")),
  );
  await writeFile(join(directory, "report.html"), renderReport(input));
}

/** Pieces of many lines: a stream takes far longer for each piece than for its length. */
function* piecesOf(events: readonly HistoryEvent[]): Generator<string> {
  for (let from = 0; from < events.length; from += EVENTS_PER_PIECE) {
    const piece = events.slice(from, from + EVENTS_PER_PIECE);
    yield piece.map(encodeEvent).join("");
  }
}
