/** Whose a transaction is. Its id says so: an id outlives every record of what it names, and is the same on all nodes. */
import { RANDOM_LENGTH, withCheck } from "../../shared/model/id-check.ts";
import type { TransactionId } from "../../shared/model/ids.ts";
import type { Random } from "../../shared/model/ports.ts";

export interface Owner {
  /** His name; nobody else has it. */
  readonly client: string;
  /** What nobody else's id ends with; characters of an id's tail. */
  sealOf(id: TransactionId): string;
}

/** `make` gives an id its tail; without an owner that is a check and what is random. */
export function ownedId(
  owner: Owner | undefined,
  random: Random,
  make: (tail: string) => TransactionId,
): TransactionId {
  const tail = random.token(RANDOM_LENGTH);
  const id = make(tail);
  return withCheck(owner === undefined ? id : make(tail + owner.sealOf(id)));
}
