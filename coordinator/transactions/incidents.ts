/** What people must look at: listed until the process ends, bounded, counted, logged once each. */
import type { Logger } from "../../shared/model/ports.ts";
import type { Incident } from "./gateway.ts";

/** Incidents beyond this are logged and counted, but not listed. */
const MAX_LISTED = 1000;

export class Incidents {
  readonly #logger: Logger;
  readonly #listed = new Map<string, Incident>();
  #count = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  raise(incident: Incident): void {
    const name = `${incident.kind} ${incident.gid}`;
    if (this.#listed.has(name)) return;
    this.#count += 1;
    this.#logger.error({ ...incident, incident: this.#count }, "a shard contradicts a decision");
    if (this.#listed.size < MAX_LISTED) this.#listed.set(name, incident);
  }

  list(): readonly Incident[] {
    return [...this.#listed.values()];
  }
}
