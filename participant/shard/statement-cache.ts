/**
 * The prepared statements of one connection, by their text, least recently used first out; and the memory, shared by
 * all connections, of which texts come more than once. A text that comes once is not worth a name.
 *
 * A server-side prepared statement never changes the columns it returns (Postgres refuses with "cached plan must not
 * change result type"), so a known shape need not be described again.
 */
import type { RowShape } from "./row-shape.ts";

export interface Statement {
  readonly text: string;
  /** Empty: not kept. */
  readonly name: string;
  /** `sent` until the server is known to have accepted it. */
  state: "new" | "sent" | "parsed";
  /** Null: it returns no rows. Undefined: not described yet. */
  shape: RowShape | null | undefined;
}

const MAX_STATEMENTS_PER_CONNECTION = 200;
const MAX_KEPT_TEXT_LENGTH = 8 * 1024;
/** Of each of the two generations. */
const MAX_REMEMBERED_TEXTS = 1_000;

export class Repetitions {
  #young = new Set<string>();
  #old = new Set<string>();

  /** Remembers the text; true when it was met before. */
  seen(text: string): boolean {
    if (text.length > MAX_KEPT_TEXT_LENGTH) return false;
    if (this.#young.has(text)) return true;
    const before = this.#old.has(text);
    if (this.#young.size >= MAX_REMEMBERED_TEXTS) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(text);
    return before;
  }
}

export class StatementCache {
  readonly #byText = new Map<string, Statement>();
  #evicted: string[] = [];
  #names = 0;

  /** Kept from now on, unless forgotten. */
  kept(text: string): Statement {
    const known = this.#byText.get(text);
    if (known !== undefined) {
      this.#byText.delete(text);
      this.#byText.set(text, known);
      return known;
    }
    this.#makeRoom();
    this.#names += 1;
    const statement: Statement = { text, name: `s${this.#names}`, state: "new", shape: undefined };
    this.#byText.set(text, statement);
    return statement;
  }

  once(text: string): Statement {
    return { text, name: "", state: "new", shape: undefined };
  }

  /** Run once, and known to return no rows. */
  command(text: string): Statement {
    return { text, name: "", state: "new", shape: null };
  }

  #makeRoom(): void {
    if (this.#byText.size < MAX_STATEMENTS_PER_CONNECTION) return;
    for (const [text, { name }] of this.#byText) {
      this.#byText.delete(text);
      this.#evicted.push(name);
      return;
    }
  }

  /** Whether the server still knows it is unknown: it is closed with the next batch, and parsed anew. */
  forget(statement: Statement): void {
    if (statement.name === "" || !this.#byText.delete(statement.text)) return;
    this.#evicted.push(statement.name);
  }

  /** Names to close on the server; handed out once. */
  takeEvicted(): readonly string[] {
    if (this.#evicted.length === 0) return this.#evicted;
    const evicted = this.#evicted;
    this.#evicted = [];
    return evicted;
  }
}
