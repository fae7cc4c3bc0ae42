/**
 * Keys under which an attempt was told "no" lately, each with that attempt's place in its leader's sequence. An earlier
 * attempt, of the same leader or of one before it, held up on a connection that has broken since, must not run behind that
 * answer.
 */
import type { CarrierId } from "../../shared/model/ids.ts";
import { carrierOrigin } from "../../shared/model/ids.ts";

/** The newest are remembered; a request is not held up for as long as it takes to refuse so many others. */
const MAX_KEYS = 16_384;

export class RefusedKeys {
  readonly #last = new Map<string, CarrierId>();

  add(key: string, carrier: CarrierId): void {
    if (this.isBehind(key, carrier)) return;
    this.#last.delete(key);
    this.#last.set(key, carrier);
    if (this.#last.size <= MAX_KEYS) return;
    for (const oldest of this.#last.keys()) {
      this.#last.delete(oldest);
      return;
    }
  }

  /** True when a later attempt under the key was refused. */
  isBehind(key: string | undefined, carrier: CarrierId): boolean {
    const last = key === undefined ? undefined : this.#last.get(key);
    if (last === undefined) return false;
    const [refused, asked] = [carrierOrigin(last), carrierOrigin(carrier)];
    if (refused === undefined || asked === undefined) return false;
    if (asked.ballot !== refused.ballot) return asked.ballot < refused.ballot;
    return asked.sequence < refused.sequence;
  }
}
