/**
 * Who owns a transaction, told from its id: the id's tail ends with a seal, a keyed hash over the client's name and the rest of the
 * id, under a key that all nodes have and nobody else. So every node can tell, at any time, whoever leads and whatever is
 * forgotten; and who knows or guesses the rest of another client's id cannot seal it for himself.
 */
import { timingSafeEqual } from "node:crypto";
import { SEAL_LENGTH, withoutCheck } from "../../../shared/model/id-check.ts";
import { splitTail, type TransactionId } from "../../../shared/model/ids.ts";
import type { ClusterSecret } from "../../../shared/runtime/cluster-secret.ts";
import type { Owner } from "../../transactions/owner.ts";

const RADIX = 36;
/** 62 bits. Guessing takes a request a guess. */
const SEALS = BigInt(RADIX) ** BigInt(SEAL_LENGTH);

export class Ownership {
  readonly #secret: ClusterSecret;

  constructor(secret: ClusterSecret) {
    this.#secret = secret;
  }

  ownerNamed(client: string): Owner {
    return { client, sealOf: (id) => this.#seal(client, id) };
  }

  owns(client: string, id: TransactionId): boolean {
    const sealed = withoutCheck(id);
    const parts = sealed && splitTail(sealed, SEAL_LENGTH);
    if (parts === undefined) return false;
    const seal = this.#seal(client, parts.bare);
    return timingSafeEqual(Buffer.from(seal), Buffer.from(parts.end));
  }

  #seal(client: string, id: TransactionId): string {
    const number = BigInt(`0x${this.#secret.mark("owner", [client, id])}`) % SEALS;
    return number.toString(RADIX).padStart(SEAL_LENGTH, "0");
  }
}
