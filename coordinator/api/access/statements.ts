/**
 * Statements that operators have given names to, as their file says it:
 *
 *   {"statements": {"debit": {"sql": "update accounts set … where id = $2", "params": 2, "shards": ["s1"]}}}
 *
 * The node that a client asks puts the text in the place of the name; what goes on from there is SQL. So it is the operators'
 * duty that the file is the same on every node.
 */
import { z } from "zod";
import { LIMITS } from "../../../shared/model/api.ts";
import { SHARD_ID_PATTERN } from "../../../shared/model/ids.ts";
import { STATEMENT_NAME_PATTERN } from "../../../shared/model/api.ts";
import { checkStatement } from "../../../shared/runtime/sql-statement.ts";
import { readFileAs } from "./file.ts";

const MAX_STATEMENTS = 10_000;

const NamedStatement = z
  .strictObject({
    sql: z.string().min(1).max(LIMITS.maxSqlLength),
    /** How many values it takes: said twice, so that a slip in either place is seen at start. */
    params: z.int().min(0).max(LIMITS.maxParams),
    /** Where it may run; everywhere when missing. */
    shards: z
      .array(
        z.string().regex(SHARD_ID_PATTERN, "must be the name of a shard, as in SYNOD_PARTICIPANTS"),
      )
      .min(1)
      .optional(),
  })
  .superRefine(({ sql, params }, context) => {
    const verdict = checkStatement(sql);
    if (!verdict.ok) {
      context.addIssue({ code: "custom", path: ["sql"], message: verdict.sentence });
    } else if (verdict.parameterCount !== params) {
      const message = `is ${params}, but the statement takes ${verdict.parameterCount}`;
      context.addIssue({ code: "custom", path: ["params"], message });
    }
  });
export type NamedStatement = z.infer<typeof NamedStatement>;

const Name = z
  .string()
  .regex(
    STATEMENT_NAME_PATTERN,
    "a name must be a letter or _, then at most 62 of A-Z, a-z, 0-9, _ . and -",
  );
const StatementsFile = z.strictObject({
  statements: z
    .record(Name, NamedStatement)
    .refine((all) => Object.keys(all).length <= MAX_STATEMENTS, `has more than ${MAX_STATEMENTS}`),
});

export class Statements {
  readonly #byName: ReadonlyMap<string, NamedStatement>;

  constructor(byName: Readonly<Record<string, NamedStatement>> = {}) {
    this.#byName = new Map(Object.entries(byName));
  }

  /** Throws an Error with one sentence that names the place. The statement parser must be loaded. */
  static parse(text: string): Statements {
    return new Statements(readFileAs(StatementsFile, text).statements);
  }

  named(name: string): NamedStatement | undefined {
    return this.#byName.get(name);
  }

  /** Every shard that a statement names. */
  get shards(): ReadonlySet<string> {
    return new Set([...this.#byName.values()].flatMap(({ shards = [] }) => shards));
  }
}
