/**
 * Reads one SQL statement with Postgres' own grammar (libpg-query: the server's parser as WebAssembly) and says
 * whether a client may send it inside a transaction that Synod begins and ends. The rules are in sql-rules.ts.
 *
 * Trade-offs: a parse costs about 50 µs, so verdicts are cached by text, in two generations instead of a linked
 * list: a hit is one lookup. The WebAssembly stack is the thread's stack, and overflowing it a few hundred times
 * ruins the parser's memory for good; so depth is bounded before parsing. Short texts cannot be deep enough.
 * Longer ones are first taken apart by Postgres' scanner, which does not recurse. Measured with cold code on the
 * default stack of Node 20: the costliest grammar overflows beyond 680 nested brackets.
 */
import { loadModule, parseSync, scanSync } from "libpg-query";
import { assert, InvariantViolation } from "../model/assert.ts";
import { LIMITS } from "../model/api.ts";
import { judge, type StatementVerdict } from "./sql-rules.ts";

export type { StatementVerdict } from "./sql-rules.ts";

/** Texts up to this length cannot nest deeply enough to matter. */
const UNSCANNED_LENGTH = 1024;
/** What a path through the tree may cost: a bracket counts 2, an operator or keyword 1. */
const MAX_DEPTH_COST = 800;
/** Bounds of each of the cache's two generations. */
const CACHE_GENERATION_ENTRIES = 2_000;
const CACHE_GENERATION_CHARACTERS = 4 * 1024 * 1024;
const MAX_PARSER_MESSAGE_LENGTH = 200;

/** UTF-8 has no form for it: the server would read another character. */
const LONE_SURROGATE = /\p{Surrogate}/u;

let loaded = false;
let young = new Map<string, StatementVerdict>();
let old = new Map<string, StatementVerdict>();
let youngCharacters = 0;

/** Must have resolved before the first `checkStatement`; later calls cost nothing. */
export async function loadSqlParser(): Promise<void> {
  await loadModule();
  loaded = true;
}

/** `sentence` begins with what was found in the statement; it never holds parameters. */
export function checkStatement(sql: string): StatementVerdict {
  const known = young.get(sql);
  if (known !== undefined) return known;
  const verdict = old.get(sql) ?? read(sql);
  if (sql.length <= LIMITS.maxSqlLength) remember(sql, verdict);
  return verdict;
}

function remember(sql: string, verdict: StatementVerdict): void {
  if (young.size >= CACHE_GENERATION_ENTRIES || youngCharacters >= CACHE_GENERATION_CHARACTERS) {
    old = young;
    young = new Map();
    youngCharacters = 0;
  }
  young.set(sql, verdict);
  youngCharacters += sql.length;
}

function read(sql: string): StatementVerdict {
  assert(loaded, "the SQL parser is loaded before the first statement is checked");
  if (sql.includes("\0")) return refuse("sql-error", "the statement holds a NUL character");
  if (LONE_SURROGATE.test(sql)) {
    return refuse("sql-error", "the statement holds half of a character (a lone surrogate)");
  }
  if (sql.length > LIMITS.maxSqlLength) {
    return refuse(
      "sql-error",
      `the statement is longer than ${LIMITS.maxSqlLength} characters; pass values as parameters`,
    );
  }
  if (sql.trim() === "") return refuse("statement-not-allowed", "the statement is empty");
  try {
    if (sql.length > UNSCANNED_LENGTH && depthCost(sql) > MAX_DEPTH_COST) {
      return refuse("sql-error", "the statement is nested too deeply");
    }
    return judge(parseSync(sql).stmts ?? []);
  } catch (error) {
    return refuse("sql-error", parserMessage(error));
  }
}

function refuse(code: "statement-not-allowed" | "sql-error", sentence: string): StatementVerdict {
  return { ok: false, code, sentence };
}

/** What WebAssembly throws when it breaks; by name, because the class differs between realms. */
const TRAPS = new Set(["RangeError", "RuntimeError"]);

/** Anything but a syntax error means that the parser itself broke, and then no later verdict can be trusted. */
function parserMessage(error: unknown): string {
  const failure = error as Partial<Error>;
  if (failure instanceof InvariantViolation) throw failure;
  if (failure.message === undefined || TRAPS.has(failure.name ?? "")) {
    throw new InvariantViolation("the SQL parser never overflows its stack", { cause: error });
  }
  return failure.message.slice(0, MAX_PARSER_MESSAGE_LENGTH);
}

const OPENS = new Set(["(", "["]);
const CLOSES = new Set([")", "]"]);
const BRACKET_COST = 2;
/** Names, numbers, texts, parameters and dots: none of them deepens the tree. */
const FLAT_TOKEN = /^[A-Za-z0-9_"'$.\u0080-\uffff]/;

/** The cost of the costliest path: brackets around a token, plus the operators and keywords beside each of them. */
function depthCost(sql: string): number {
  const outer: number[] = [];
  let enclosing = 0;
  let here = 0;
  let highest = 0;
  for (const token of scanSync(sql).tokens) {
    if (OPENS.has(token.text)) {
      outer.push(here);
      enclosing += here + BRACKET_COST;
      here = 0;
    } else if (CLOSES.has(token.text)) {
      const resumed = outer.pop() ?? 0;
      enclosing = Math.max(0, enclosing - resumed - BRACKET_COST);
      here = resumed + BRACKET_COST;
    } else if (token.text === ",") {
      here = 0;
    } else if (token.keywordKind !== 0 || !FLAT_TOKEN.test(token.text)) {
      here += 1;
    }
    highest = Math.max(highest, enclosing + here);
  }
  return highest;
}
