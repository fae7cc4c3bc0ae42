/**
 * Tells participants which open branches are still wanted, one message a shard for all of them, and hears which are gone.
 * A branch rolls itself back when it hears nothing for the transaction's idle time and a grace of five seconds, which is
 * longer than two of these intervals: so one whose transaction works elsewhere is not forgotten, and one whose leader
 * is stuck does not hold its locks for long.
 */
import type { GlobalId, ShardId } from "../../../shared/model/ids.ts";
import type { Cancel, Clock, Logger } from "../../../shared/model/ports.ts";
import type { ParticipantLinks } from "../../transport/participant-link.ts";

const KEEP_INTERVAL_MS = 2_000;

export interface KeeperOptions {
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Branches that have answered and wait, by shard. */
  readonly waiting: () => ReadonlyMap<ShardId, readonly GlobalId[]>;
  readonly lost: (gid: GlobalId) => void;
}

export class Keeper {
  readonly #options: KeeperOptions;
  #cancel: Cancel | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Goes on by itself until `stop`. */
  start(): void {
    this.#cancel ??= this.#options.clock.after(KEEP_INTERVAL_MS, () => {
      this.#cancel = undefined;
      for (const [shard, gids] of this.#options.waiting()) this.#keep(shard, gids);
      this.start();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #keep(shard: ShardId, gids: readonly GlobalId[]): void {
    const { links, lost, logger } = this.#options;
    links.request(shard, { kind: "keep", gids: [...gids] }, KEEP_INTERVAL_MS).then(
      ({ unknown }) => {
        for (const gid of unknown) lost(gid);
      },
      (error: unknown) => {
        logger.debug({ error, shard }, "open branches not kept");
      },
    );
  }
}
