/**
 * What this node can say for certain about a carrier: the ledger's word, and, while it serves, its own memory.
 *
 * Below the floor absence from the ledger is a final "aborted". Under its own ballot a serving leader is the only one who
 * could ever propose the commit, so a carrier that it does not hold in memory is aborted too. Everything else is open.
 */
import type { CarrierId } from "../../shared/model/ids.ts";
import { carrierOrigin } from "../../shared/model/ids.ts";
import type { BranchOutcome, OutcomeAnswer, OutcomeInquiry } from "../../shared/model/inquiry.ts";
import type { Leadership } from "./leadership.ts";
import type { Ledger, LedgerOutcome } from "./ledger/ledger.ts";

export class Outcomes {
  readonly #ledger: Ledger;
  readonly #leadership: Leadership;
  readonly #holds: (carrierId: CarrierId) => boolean;

  constructor(ledger: Ledger, leadership: Leadership, holds: (carrierId: CarrierId) => boolean) {
    this.#ledger = ledger;
    this.#leadership = leadership;
    this.#holds = holds;
  }

  of(carrierId: CarrierId): LedgerOutcome {
    const known = this.#ledger.carrierOutcome(carrierId);
    if (known.kind !== "undecided") return known;
    const mine = this.#leadership.ballot;
    const isMine = mine !== undefined && carrierOrigin(carrierId)?.ballot === mine;
    return isMine && !this.#holds(carrierId) ? { kind: "aborted" } : known;
  }

  answer({ shard, branches }: OutcomeInquiry): OutcomeAnswer {
    const outcomes = branches.map(({ carrierId }): BranchOutcome => {
      if (carrierOrigin(carrierId) === undefined) return { kind: "forgotten" };
      const outcome = this.of(carrierId);
      if (outcome.kind !== "committed") return outcome;
      const branch = outcome.carrier?.branches.find((decided) => decided.shard === shard);
      return { kind: "committed", xid: branch?.xid ?? null };
    });
    return { outcomes };
  }
}
