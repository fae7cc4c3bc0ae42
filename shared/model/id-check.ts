/**
 * The check in a transaction's id: three characters at the beginning of its tail, made of all the rest, by which an id that was
 * mistyped or cut is told from one that was given. It is no secret and keeps nobody out: the owner's seal does that.
 *
 * Noticed for certain, wherever it is: one character that is wrong, missing or doubled; two neighbours that have changed places;
 * a shard that is missing, or should not be there. Of anything else about one in eleven thousand passes. Why:
 *
 *   - the characters are the digits of a number to the base 5, modulo a prime that is larger than any of them. 5 is a primitive
 *     root of it, so no two places weigh the same, and none weighs -1, as a place of the check itself does;
 *   - whether the length is even, and whether there is a shard, are kept beside that number;
 *   - a tail has one of two lengths, so no character moves into it or out of it unseen; and as the check begins it, the check is
 *     where it was when the dot behind it is lost.
 */
import { assert } from "./assert.ts";
import { splitId, type SplitId, type TransactionId } from "./ids.ts";

/** The random part of a tail, in characters. */
export const RANDOM_LENGTH = 9;
/** Of the owner's seal, behind it, where clients are told apart. */
export const SEAL_LENGTH = 12;
const CHECK_LENGTH = 3;
const BARE_LENGTHS: readonly number[] = [RANDOM_LENGTH, RANDOM_LENGTH + SEAL_LENGTH];

const RADIX = 36;
/** Four times this is just less than what three characters can say. */
const MODULUS = 11_657;
const BASE = 5;

/** `bare` is an id whose tail has no check. */
export function withCheck(bare: TransactionId): TransactionId {
  const parts = splitId(bare);
  assert(parts !== undefined, "a transaction id names its origin");
  assert(
    BARE_LENGTHS.includes(parts.tail.length),
    "the tail of an id is random, or that and a seal",
  );
  return joined(parts, checkOf(bare, parts) + parts.tail);
}

/** Undefined unless the text is an id with the check that it must have. */
export function withoutCheck(text: string): TransactionId | undefined {
  const parts = splitId(text);
  if (parts === undefined) return undefined;
  const tail = parts.tail.slice(CHECK_LENGTH);
  if (!BARE_LENGTHS.includes(tail.length)) return undefined;
  const bare = joined(parts, tail);
  return checkOf(bare, parts) === parts.tail.slice(0, CHECK_LENGTH) ? bare : undefined;
}

/** Undefined for what cannot have been given as an id. */
export function readTransactionId(text: string): TransactionId | undefined {
  return withoutCheck(text) === undefined ? undefined : (text as TransactionId);
}

function joined({ stem, suffix }: SplitId, tail: string): TransactionId {
  return `${stem}-${tail}${suffix}` as TransactionId;
}

function checkOf(bare: TransactionId, { suffix }: SplitId): string {
  let sum = 0;
  for (let index = 0; index < bare.length; index += 1) {
    sum = (sum * BASE + bare.charCodeAt(index)) % MODULUS;
  }
  const form = (bare.length % 2) + (suffix === "" ? 0 : 2);
  return (form * MODULUS + sum).toString(RADIX).padStart(CHECK_LENGTH, "0");
}
