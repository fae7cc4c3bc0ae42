/**
 * 64-bit transaction ids from the 32 bits that pg_prepared_xacts shows.
 *
 * A prepared transaction's xid is less than 2^31 away from every id of the present, or Postgres would have stopped for
 * fear of wraparound; so the nearest id with the same low bits is the right one. The reference may be lower than the
 * xid: a snapshot's xmax is one past the latest *completed* transaction.
 */
import type { Xid } from "../../shared/model/ids.ts";

const SPAN = 1n << 32n;
const HALF = 1n << 31n;

/** `reference`: any 64-bit id of the present, in decimal. */
export function widenXid(xid: string, reference: string): Xid {
  const near = BigInt(reference);
  const ahead = (BigInt(xid) - near) & (SPAN - 1n);
  return String(near + (ahead < HALF ? ahead : ahead - SPAN)) as Xid;
}
