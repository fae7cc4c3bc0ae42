/** Histories as text, one event a line, so that a file that ends early is still worth reading up to there. */
import { z } from "zod";
import { HistoryEvent } from "./event.ts";
import { HistoryFault } from "./history-fault.ts";

const MAX_EVENTS = 4_000_000;
export const MAX_LINE_LENGTH = 8 * 1_024 * 1_024;

export function encodeEvent(event: HistoryEvent): string {
  return `${JSON.stringify(event)}\n`;
}

/** Throws HistoryFault, naming the line. Takes lines, not one text, because a long history does not fit into a string. */
export function decodeEvents(lines: Iterable<string>): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  let number = 0;
  for (const line of lines) {
    number += 1;
    if (line === "") continue;
    if (events.length === MAX_EVENTS) throw new HistoryFault(`more than ${MAX_EVENTS} events`);
    events.push(decodeLine(line, number));
  }
  return events;
}

function decodeLine(line: string, number: number): HistoryEvent {
  if (line.length > MAX_LINE_LENGTH) {
    throw new HistoryFault(`line ${number}: longer than ${MAX_LINE_LENGTH} characters`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw new HistoryFault(`line ${number}: not JSON`, { cause });
  }
  const event = HistoryEvent.safeParse(parsed);
  if (!event.success) throw new HistoryFault(`line ${number}: ${z.prettifyError(event.error)}`);
  return event.data;
}
